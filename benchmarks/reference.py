"""Make the course of a training a reference, which others are compared with (src/mp3net/training/references).

    python -m benchmarks.reference RUN --data "piano chorales, 4.2 h"

RUN was trained with a preset, nothing changed but run.* settings and the schedule of the learning rate. It counts as good
from the first evaluation on whose kernel distance and coverage are as below, and so is the median of it and the two that
follow.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import mp3net.training
from mp3net.config import PRESETS, Config
from mp3net.errors import Mp3netError
from mp3net.files import write_json
from mp3net.training.course import Point, read_course
from mp3net.training.origin import read_origin
from mp3net.training.reference import FOLDER

GOOD_KERNEL, GOOD_COVERAGE = 3.0, 0.75
KEPT = (
    "kernel_logmel", "coverage_logmel", "frechet_logmel", "octave_flatness", "octave_flatness_real",
    "octave_flatness_spread", "octave_flatness_spread_real", "level_error_db", "pairwise_distance", "memorised_share",
    "copied_share", "copied_share_real",
)  # fmt: skip


def good_at(points: list[Point]) -> int:
    """Tracks seen at the first evaluation from which on songs are good. Errors: Mp3netError if that is never so."""

    def median(name: str, row: int) -> float:
        values = sorted(point.readings[f"evaluation/{name}"] for point in points[row : row + 3])
        return values[len(values) // 2]

    for row, point in enumerate(points):
        own = point.readings
        good = own["evaluation/kernel_logmel"] <= GOOD_KERNEL and own["evaluation/coverage_logmel"] >= GOOD_COVERAGE
        if good and median("kernel_logmel", row) <= GOOD_KERNEL and median("coverage_logmel", row) >= GOOD_COVERAGE:
            return point.tracks_seen
    raise Mp3netError("this run never became good")


def as_preset(config: Config, its: Config) -> Config:
    """With what may differ taken from the preset."""
    schedule = {"learning_rate_schedule": its.optimiser.learning_rate_schedule}
    return config.model_copy(update={"run": its.run, "optimiser": config.optimiser.model_copy(update=schedule)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", required=True, help="the data in a few words")
    options = parser.parse_args()
    origin = read_origin(options.run)
    if origin.preset is None or as_preset(origin.config, PRESETS[origin.preset]) != PRESETS[origin.preset]:
        raise Mp3netError(f"{options.run}: was not trained with a preset as it is")
    points = read_course(options.run).evaluated
    content = {
        "preset": origin.preset,
        "data": options.data,
        "good": f"kernel distance at most {GOOD_KERNEL:g}, coverage at least {GOOD_COVERAGE:g}",
        "good_at_tracks": good_at(points),
        "evaluated": {
            "tracks_seen": [point.tracks_seen for point in points],
            "hours": [round(point.hours, 3) for point in points],
            "readings": {
                f"evaluation/{name}": [float(f"{point.readings[f'evaluation/{name}']:.4g}") for point in points]
                for name in KEPT
            },
        },
    }
    target = Path(mp3net.training.__file__).parent / FOLDER / f"{origin.preset}.json"
    target.parent.mkdir(exist_ok=True)
    write_json(target, content)
    print(f"{target}: {len(points)} evaluations, good after {content['good_at_tracks']:,} tracks")


if __name__ == "__main__":
    main()
