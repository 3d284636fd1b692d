"""The runs that led to a snapshot, one from the weights of the other, and what they took."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from mp3net.config import Config
from mp3net.model.snapshot import Snapshot
from mp3net.training.course import Course, read_course
from mp3net.training.origin import find_run, read_origin
from mp3net.training.plan import flop_per_track


@dataclass(frozen=True)
class Stage:
    """One run, and the hours of training before it."""

    config: Config
    course: Course
    tracks_seen: int
    """So far as it led to the snapshot; it may have gone on since."""
    hours_before: float = 0.0

    @property
    def hours(self) -> float:
        """Hours of training up to there, those before it included."""
        return self.hours_before + self.course.hours_at(self.tracks_seen)

    @property
    def flop(self) -> float:
        """Floating-point operations of its tracks, as `plan.flop_per_track` counts them."""
        return self.tracks_seen * flop_per_track(self.config)


def stages_of(snapshot: Snapshot) -> list[Stage]:
    """The run of a snapshot, after those that it began with, as far as they are still where they were; empty if the snapshot
    lies in no run. Errors: Mp3netError if a file cannot be read."""
    stages: list[Stage] = []
    runs: list[Path] = []
    found = find_run(snapshot.folder)
    while found is not None and found.resolve() not in runs:
        runs.append(found.resolve())
        origin, course = read_origin(found), read_course(found)
        stages.append(Stage(origin.config, course, course.tracks_seen))
        found = find_run(Path(origin.init_from)) if origin.init_from else None
    if stages:
        stages[0] = replace(stages[0], tracks_seen=int(snapshot.metadata.get("tracks_seen", stages[0].tracks_seen)))
    ordered: list[Stage] = []
    for stage in reversed(stages):
        ordered.append(replace(stage, hours_before=ordered[-1].hours if ordered else 0.0))
    return ordered
