"""How far a training has come: the checkpoints of runs, or snapshots, judged by the same clips.

    python benchmarks/judge.py DATA RUN_OR_SNAPSHOT... [--seconds S] [--clips 128] [--notes] [--piano N] [--csv FILE]
    python benchmarks/judge.py DATA RUN --only 50000,140000 --picture docs/images/second-family.png

Every row compares `--clips` generated clips of fixed seeds with as many held-out ones (benchmarks/lab/judges.py says in
what). The first row puts training clips in the place of generated ones: no model can be asked for more. --notes lets
basic-pitch hear the clips too, --piano N lets transkun hear N. Of a run, every kept checkpoint is judged, or the nearest
ones to --only.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from lab.judges import FLOOR_SEED, REFERENCE_SEED, Judge, heard_by_transkun, real_clips, songs

from mp3net.figures import save_png, spectrogram_grid
from mp3net.generation import MP3net
from mp3net.training.checkpoint import saved_checkpoints

PICTURED = 8


def places(path: Path, only: list[int]) -> list[Path]:
    """The checkpoints of a run that are to be judged, or the snapshot itself."""
    found = saved_checkpoints(path)
    if not found or not only:
        return found or [path]
    seen = {int(place.name.rpartition("-")[2]): place for place in found}
    return [seen[min(seen, key=lambda tracks, wanted=wanted: abs(tracks - wanted))] for wanted in only]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--seconds", type=float, help="length of clips; default: the first model's tracks")
    parser.add_argument("--clips", type=int, default=128)
    parser.add_argument("--only", type=lambda text: [int(part) for part in text.split(",")], default=[])
    parser.add_argument("--notes", action="store_true")
    parser.add_argument("--piano", type=int, default=0, metavar="N")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--picture", type=Path, help="eight real and eight clips of the last model, as spectrograms")
    options = parser.parse_args()
    chosen = [place for model in options.models for place in places(model, options.only)]
    first = MP3net.from_pretrained(chosen[0])
    rate = first.config.audio.sample_rate_hz
    samples = first.song_samples(options.seconds)
    heldout = real_clips(options.data, "heldout", samples, options.clips, REFERENCE_SEED)
    judge = Judge(heldout, rate, options.notes)

    def judged(audio: np.ndarray) -> dict[str, float]:
        return judge(audio) | heard_by_transkun(audio[: options.piano], rate)

    training = real_clips(options.data, "train", samples, options.clips, FLOOR_SEED)
    rows = [{"model": "training clips", "tracks_seen": 0, **judged(training)}]
    print(rows[0], flush=True)
    audio = heldout
    for place in chosen:
        model = MP3net.from_pretrained(place)
        duration_s = options.seconds if model.config.model.kind != "paper" else None
        audio = songs(model, duration_s, options.clips)[..., :samples]
        seen = model.snapshot.metadata.get("tracks_seen", 0) if model.snapshot is not None else 0
        rows.append({"model": place.name, "tracks_seen": seen, **judged(audio)})
        print({key: round(value, 4) if isinstance(value, float) else value for key, value in rows[-1].items()}, flush=True)
    if options.csv is not None:
        with options.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(
                {key: f"{value:.5g}" if isinstance(value, float) else value for key, value in row.items()} for row in rows
            )
    if options.picture is not None:
        grid = [("real", list(heldout[:PICTURED])), ("generated", list(audio[:PICTURED]))]
        save_png(spectrogram_grid(grid, rate), options.picture)


if __name__ == "__main__":
    main()
