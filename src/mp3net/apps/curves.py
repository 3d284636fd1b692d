"""The evaluations of trainings, for model cards."""

from __future__ import annotations

from collections.abc import Sequence

from mp3net.export.card import Judged
from mp3net.training.stages import Stage

PREFIX = "evaluation/"


def judged_in(stages: Sequence[Stage]) -> list[Judged]:
    """The light evaluations of runs that followed each other, in order."""
    return [
        Judged(
            point.tracks_seen,
            stage.track_s,
            stage.hours_before + point.hours,
            {name.removeprefix(PREFIX): value for name, value in point.readings.items()},
        )
        for stage in stages
        for point in stage.judged
    ]
