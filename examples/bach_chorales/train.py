"""The recipe of the bundled snapshot, from nothing: render, prepare, train on short tracks, then on longer ones, judge.

    python examples/bach_chorales/train.py --out chorales

writes music, data, runs and a report below `chorales`. It takes twelve to fifteen hours of one CPU core and 4 GB, and can
be listened to and looked at meanwhile: `mp3net studio chorales/short`. What is done is not done again, so the same command
goes on after an interruption, and `--show` prints its commands without running them, to be changed and run by hand. Needs
what render.py needs.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

RENDER = Path(__file__).parent / "render.py"
# Most of what can be learned about single notes is learned four times as fast on tracks of 1.5 s.
SHORT_TRACKS, LONG_TRACKS = 67_600, 300_000
SHORT_RATE = f"optimiser.learning_rate_schedule=[[11300, 1.0], [{SHORT_TRACKS}, 0.4]]"
LONG_RATE = f"optimiser.learning_rate_schedule=[[0, 0.5], [{LONG_TRACKS // 2}, 0.5], [{LONG_TRACKS}, 0.1]]"


def commands(out: Path, threads: int) -> list[list[str]]:
    """What is run, one after the other."""
    mp3net = [sys.executable, "-m", "mp3net"]
    music, data, short, long = (str(out / name) for name in ("music", "data", "short", "long"))
    train = [*mp3net, "train", data, "--threads", str(threads)]
    return [
        [sys.executable, str(RENDER), "--out", music],
        [*mp3net, "prepare", music, "--out", data, "--preset", "mp3net2-6s"],
        [*train, "--preset", "mp3net2-nano", "--out", short, "--tracks", str(SHORT_TRACKS), "--set", SHORT_RATE],
        [
            *train,
            "--preset",
            "mp3net2-6s",
            "--init-from",
            short,
            "--out",
            long,
            "--tracks",
            str(LONG_TRACKS),
            "--set",
            LONG_RATE,
        ],
        [*mp3net, "evaluate", long, "--data", data, "--out", str(out / "report")],
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description="Train on Bach's chorales as the bundled snapshot was trained.")
    parser.add_argument("--out", type=Path, required=True, help="folder for music, data, runs and report")
    parser.add_argument("--threads", type=int, default=1, help="of the trainings; more than one help little")
    parser.add_argument("--show", action="store_true", help="print the commands instead of running them")
    options = parser.parse_args()
    for command in commands(options.out, options.threads):
        print(shlex.join(command), flush=True)
        if not options.show and (status := subprocess.run(command).returncode):
            print(f"stopped (exit code {status}); the same command goes on from here", file=sys.stderr)
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
