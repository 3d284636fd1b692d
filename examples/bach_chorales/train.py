"""The recipe of the bundled snapshot, from nothing: render, prepare, train in stages, judge.

    python examples/bach_chorales/train.py --out chorales

writes music, data, runs and a report below `chorales`. It takes seven to twelve hours of one CPU core and 4 GB, and can
be listened to and looked at meanwhile: `mp3net studio chorales/1-short`. What is done is not done again, so the same command
goes on after an interruption. `--rehearse` does all of it with 64 tracks per stage, in ten minutes, to see that nothing
is missing, with runs and report in `chorales/rehearsal`; `--show` prints the commands without running them, to be changed
and run by hand. Needs what render.py needs.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

RENDER = Path(__file__).parent / "render.py"
# What mp3net2-6s draws songs to came one after the other, once there were notes to be drawn.
NO_LOUDNESS = ("model.loudness_gain=1.0", "model.tuning_harmonics=0", "model.loudness_lags=[]")
NO_INTERVALS = (*NO_LOUDNESS, "model.interval_lags=[]")
NO_MOVEMENT = (*NO_INTERVALS, "model.movement_lags=[]")
HALF = "[[0, 0.5]]"
REHEARSED_TRACKS = 64
REHEARSED_SAMPLES = 32


class Stage(NamedTuple):
    """One training, with the weights of the one before it. `rate`: pairs of tracks seen and factor of the learning rate."""

    name: str
    preset: str
    tracks: int
    rate: str
    settings: tuple[str, ...] = ()


STAGES = (
    # Most of what can be learned about single notes is learned four times as fast on tracks of 1.5 s.
    Stage("1-short", "mp3net2-nano", 67_600, "[[11300, 1.0], [67600, 0.4]]"),
    Stage("2-long", "mp3net2-6s", 24_000, HALF, NO_MOVEMENT),
    Stage("3-steady", "mp3net2-6s", 29_192, HALF, NO_INTERVALS),
    Stage("4-richer", "mp3net2-6s", 50_136, HALF, NO_LOUDNESS),
    Stage("5-louder", "mp3net2-6s", 70_120, HALF),
)


def commands(out: Path, threads: int, rehearsed: bool = False) -> list[list[str]]:
    """What is run, one after the other."""
    most = REHEARSED_TRACKS if rehearsed else sum(stage.tracks for stage in STAGES)
    runs = out / "rehearsal" if rehearsed else out  # apart: the stages of the whole begin with those before them
    mp3net = [sys.executable, "-m", "mp3net"]
    music, data = str(out / "music"), str(out / "data")
    found = [
        [sys.executable, str(RENDER), "--out", music],
        [*mp3net, "prepare", music, "--out", data, "--preset", "mp3net2-6s"],
    ]
    begins_with: list[str] = []
    for stage in STAGES:
        run = str(runs / stage.name)
        train = [*mp3net, "train", data, "--threads", str(threads), "--preset", stage.preset, *begins_with]
        settings = (f"optimiser.learning_rate_schedule={stage.rate}", *stage.settings)
        set_them = [word for setting in settings for word in ("--set", setting)]
        found.append([*train, "--out", run, "--tracks", str(min(stage.tracks, most)), *set_them])
        begins_with = ["--init-from", run]
    fewer = ["--samples", str(REHEARSED_SAMPLES)] if rehearsed else []
    return [*found, [*mp3net, "evaluate", begins_with[1], "--data", data, *fewer, "--out", str(runs / "report")]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for music, data, runs and report")
    parser.add_argument("--threads", type=int, default=1, help="of the trainings; more than one helps little")
    parser.add_argument(
        "--rehearse", action="store_true", help=f"train on {REHEARSED_TRACKS} tracks per stage, to see that all works"
    )
    parser.add_argument("--show", action="store_true", help="print the commands instead of running them")
    options = parser.parse_args()
    for command in commands(options.out, options.threads, options.rehearse):
        print(shlex.join(command), flush=True)
        if not options.show and (status := subprocess.run(command).returncode):
            print(f"stopped (exit code {status}); the same command goes on from here", file=sys.stderr)
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
