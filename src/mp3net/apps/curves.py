"""The evaluations of trainings, for model cards."""

from __future__ import annotations

from collections.abc import Sequence

from mp3net.export.card import Judged
from mp3net.training.stages import Stage

PREFIX = "evaluation/"


def judged_in(stages: Sequence[Stage]) -> list[Judged]:
    """The light evaluations of runs that followed each other; tracks of one length are counted on from run to run."""
    judged: list[Judged] = []
    before, length = 0, 0.0
    for stage in stages:
        before = before if stage.track_s == length else 0
        length = stage.track_s
        for point in stage.judged:
            readings = {name.removeprefix(PREFIX): value for name, value in point.readings.items()}
            judged.append(Judged(before + point.tracks_seen, length, stage.hours_before + point.hours, readings))
        before += stage.tracks_seen
    return judged
