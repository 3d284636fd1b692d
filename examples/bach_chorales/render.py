"""Render Bach's chorales as piano recordings: a real data set that anybody can make offline.

    python examples/bach_chorales/render.py --out ~/music/chorales

needs `pip install music21` (the scores) and FluidSynth with a General MIDI soundfont (the piano):
`apt-get install fluidsynth fluid-soundfont-gm`. The 410 chorales give 4.2 hours in a few minutes. Files that
exist are kept, so an interrupted run is continued by the same command.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

DEFAULT_SOUNDFONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")


def chorale_paths() -> list[Path]:
    """One score per chorale of music21's 433 Bach files: 20 are analyses without notes, 3 the same score again."""
    from music21 import corpus

    scores = {}
    for suffix in (".krn", ".xml", ".mxl"):  # where a chorale comes in several formats, the last one stays
        scores.update({Path(path).stem: Path(path) for path in corpus.getComposer("bach") if Path(path).suffix == suffix})
    return [scores[stem] for stem in sorted(scores)]


def render(score_path: Path, target: Path, soundfont: Path) -> str | None:
    """Render one score to a FLAC file; returns None, or why it could not be done."""
    from music21 import converter, instrument

    try:
        score = converter.parse(score_path)
        for part in score.parts:
            for old in list(part.recurse().getElementsByClass(instrument.Instrument)):
                old.activeSite.remove(old)
            part.insert(0, instrument.Piano())
        with tempfile.TemporaryDirectory() as folder:
            midi = Path(folder) / "score.mid"
            sound = Path(folder) / "score.flac"
            score.write("midi", midi)
            command = ["fluidsynth", "-ni", "-q", "-g", "0.6", "-r", "44100", "-T", "flac", "-F", sound, soundfont, midi]
            subprocess.run(command, check=True, capture_output=True)
            partial = target.with_suffix(".partial")
            shutil.copyfile(sound, partial)
            partial.replace(target)
    except (Exception, subprocess.CalledProcessError) as error:  # one bad score must not stop the others
        return f"{type(error).__name__}: {error}"
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description="Render music21's Bach chorales with FluidSynth's piano.")
    parser.add_argument("--out", type=Path, required=True, help="folder for the FLAC files")
    parser.add_argument("--soundfont", type=Path, default=DEFAULT_SOUNDFONT, help="a General MIDI .sf2 file")
    parser.add_argument("--limit", type=int, help="render only the first so many chorales")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    if shutil.which("fluidsynth") is None or not options.soundfont.exists():
        print(f"needs fluidsynth and {options.soundfont}: apt-get install fluidsynth fluid-soundfont-gm", file=sys.stderr)
        return 2
    try:
        scores = chorale_paths()[: options.limit]
    except ImportError:
        print("needs the scores: pip install music21", file=sys.stderr)
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    missing = {score: options.out / f"{score.stem}.flac" for score in scores}
    missing = {score: target for score, target in missing.items() if not target.exists()}
    print(f"{len(scores)} scores, {len(scores) - len(missing)} already rendered")
    failures, started = 0, time.monotonic()
    with ProcessPoolExecutor(options.workers) as pool:
        jobs = {pool.submit(render, score, target, options.soundfont): score for score, target in missing.items()}
        for done, job in enumerate(as_completed(jobs), start=1):
            problem = job.result()
            if problem:
                failures += 1
                print(f"{jobs[job].name}: {problem}", file=sys.stderr)
            if done % 20 == 0 or done == len(jobs):
                left_s = (time.monotonic() - started) / done * (len(jobs) - done)
                print(f"{done}/{len(jobs)} rendered, {left_s:.0f} s left", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
