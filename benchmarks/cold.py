"""From the prompt to the finished file: `mp3net generate` and `mp3net --help` in fresh processes, and what they import.

    python benchmarks/cold.py [--runs 5] [--duration 20]

Times are of whole processes with a warm file cache, median and range. Beside them the imports alone of what could make a
song, and the largest imports of `mp3net generate`, each with all that it imports first.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

IMPORTS = (
    "pass",
    "import numpy",
    "import onnxruntime",
    "import torch",
    "from mp3net import MP3net; MP3net.from_pretrained()",
)


def timed(command: list[str], runs: int) -> str:
    times = []
    for _ in range(runs + 1):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - started)
    return f"{statistics.median(times[1:]):.2f} s ({min(times[1:]):.2f}-{max(times[1:]):.2f})"


def largest_imports(command: list[str], count: int) -> list[str]:
    done = subprocess.run([sys.executable, "-X", "importtime", *command[1:]], check=True, capture_output=True, text=True)
    found = re.findall(r"import time: +\d+ \| +(\d+) \| ( *)(\S+)", done.stderr)
    shallow = [(int(total), name) for total, indent, name in found if len(indent) <= 4]
    return [f"{total / 1000:6.0f} ms  {name}" for total, name in sorted(shallow, reverse=True)[:count]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--duration", default="20")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = ["--duration", options.duration, "--force", "--out", str(Path(folder) / "song.wav")]
        generate = [sys.executable, "-m", "mp3net", "generate", *out]
        print(f"mp3net generate --duration {options.duration}: {timed(generate, options.runs)}")
        print(f"the same in bfloat16, with PyTorch: {timed([*generate, '--precision', 'bfloat16'], options.runs)}")
        print(f"mp3net --help: {timed([sys.executable, '-m', 'mp3net', '--help'], options.runs)}")
        for program in IMPORTS:
            print(f"python -c {program!r}: {timed([sys.executable, '-c', program], options.runs)}")
        print("largest imports of mp3net generate:")
        print("\n".join(largest_imports(generate, 14)))


if __name__ == "__main__":
    main()
