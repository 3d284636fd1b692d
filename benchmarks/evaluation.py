"""Time and memory of `mp3net evaluate --audio` for clips that are already there.

    python benchmarks/evaluation.py DATA [--clips 512] [--seconds 6]

DATA needs enough held-out music for two sets of that size. Each line is one process: the first pays for the real sets and
the ladder, the later ones find them in the cache and only pay for what is judged.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import soundfile

from mp3net.evaluation.clips import real_sets

WEIGHT_FREE = "spectrum,logmel,memory"
LEARNED = "timbre,notes"


def write_clips(data: Path, folder: Path, clips: int, seconds: float, seed: int) -> None:
    """Real clips as FLAC files: what a very good system would have made."""
    rate = real_sets(data, 32, 11008, 0).config.sample_rate_hz
    chosen = real_sets(data, clips, round(seconds * rate), seed).training
    folder.mkdir()
    for index in range(len(chosen)):
        soundfile.write(folder / f"{index:04d}.flac", chosen.read(index).T, rate)


def run(title: str, arguments: list[str]) -> None:
    command = [sys.executable, "-m", "mp3net", "evaluate", *arguments]
    started = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(usage[1])
    if process.returncode:
        raise SystemExit(f"{title}: failed with status {process.returncode}")
    print(f"{title:55s} {time.monotonic() - started:6.0f} s {usage[2].ru_maxrss / 2**20:6.2f} GiB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--clips", type=int, default=512)
    parser.add_argument("--seconds", type=float, default=6.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        for name, seed in (("first", 1), ("second", 2), ("third", 3)):
            write_clips(arguments.data, root / name, arguments.clips, arguments.seconds, seed)
        common = ["--data", str(arguments.data), "--samples", str(arguments.clips), "--cache", str(root / "cache")]
        common += ["--seconds", str(arguments.seconds)]
        for measures in (WEIGHT_FREE, LEARNED):
            for name, title in (("first", "with real sets and ladder"), ("second", "ladder kept"), ("third", "ladder kept")):
                out = root / f"report-{name}-{measures}"
                folder = str(root / name)
                run(f"{measures}, {title}", ["--audio", folder, "--out", str(out), "--measures", measures, *common])


if __name__ == "__main__":
    main()
