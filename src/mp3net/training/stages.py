"""The runs that led to a snapshot, one from the weights of the other, and what they took.

A run knows what it began with, as long as that is where it was. A snapshot that travels takes its stages along, in its
metadata, so that what begins with it knows them too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mp3net.errors import Mp3netError
from mp3net.model.snapshot import Snapshot, open_snapshot
from mp3net.training.course import Course, Point, read_course
from mp3net.training.origin import find_run, read_origin
from mp3net.training.plan import flop_per_track
from mp3net.training.progress import format_duration

# Where a snapshot's metadata have them.
STAGES = "stages"


@dataclass(frozen=True)
class Stage:
    """One run of tracks of so many seconds, and the hours of training before it."""

    track_s: float
    flop_per_track: float
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
        return self.tracks_seen * self.flop_per_track

    @property
    def judged(self) -> list[Point]:
        """The light evaluations that led to the snapshot."""
        return [point for point in self.course.evaluated if point.tracks_seen <= self.tracks_seen]

    def on_cores(self, count: int) -> Stage:
        """The same in hours of one core, of a run that had so many."""
        logged, evaluated = (
            [replace(point, hours=count * point.hours) for point in points]
            for points in (self.course.logged, self.course.evaluated)
        )
        return replace(self, course=replace(self.course, logged=logged, evaluated=evaluated))

    def to_json(self) -> dict[str, Any]:
        """What a snapshot takes along: readings of evaluations, without those of every step."""
        return {
            "track_s": self.track_s,
            "flop_per_track": self.flop_per_track,
            "tracks_seen": self.tracks_seen,
            "hours": self.hours - self.hours_before,
            "judged": [
                {"tracks_seen": point.tracks_seen, "hours": point.hours, "readings": _evaluated(point)}
                for point in self.judged
            ],
        }


def stages_of(snapshot: Snapshot) -> list[Stage]:
    """The run of a snapshot, after those that it began with, as far as they are still where they were, and those that a
    snapshot has taken along; empty if nothing is known. Errors: Mp3netError if a file cannot be read."""
    stages: list[Stage] = []
    runs: list[Path] = []
    place, weights = snapshot.folder, ""
    while (found := find_run(place)) is not None and found.resolve() not in runs:
        runs.append(found.resolve())
        origin, course = read_origin(found), read_course(found)
        seen = _tracks_of(snapshot if not stages else _opened(place, weights), course)
        track_s = origin.config.track_samples / origin.config.audio.sample_rate_hz
        stages.append(Stage(track_s, flop_per_track(origin.config), course, seen))
        if not origin.init_from:
            break
        place, weights = Path(origin.init_from), origin.init_weights
    return after_each_other([*(_taken_along(snapshot, place, weights) if found is None else []), *reversed(stages)])


def stages_in_words(snapshot: Snapshot) -> str:
    """What led to a snapshot, for people; empty if nothing is known. Errors: those of `stages_of`."""
    stages = stages_of(snapshot)
    took = [format_duration(3600 * (stage.hours - stage.hours_before)) for stage in stages]
    return ", ".join(
        f"{stage.tracks_seen:,} tracks of {stage.track_s:.1f} s in {time}" for stage, time in zip(stages, took, strict=True)
    )


def _opened(place: Path, weights: str) -> Snapshot | None:
    """The snapshot that a run began with; None if it is gone, or by now has other weights."""
    try:
        snapshot = open_snapshot(place)
        return snapshot if weights in ("", snapshot.digest) else None
    except (Mp3netError, OSError):
        return None


def _tracks_of(snapshot: Snapshot | None, course: Course) -> int:
    """The tracks after which a snapshot was made: its run may have gone on, and may not have logged its last steps."""
    tracks = snapshot.metadata.get("tracks_seen") if snapshot is not None else None
    return tracks if isinstance(tracks, int) else course.tracks_seen


def _taken_along(snapshot: Snapshot, place: Path, weights: str) -> list[Stage]:
    """The stages in the metadata of a snapshot that lies in no run; none if it is gone, or by now has other weights."""
    known = snapshot if place == snapshot.folder else _opened(place, weights)
    if known is None:
        return []
    try:
        return [_from_json(content) for content in known.metadata.get(STAGES, [])]
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
        raise Mp3netError(f"{known.folder}: metadata.{STAGES} in its config.json cannot be read: {error!r}") from None


def _from_json(content: dict[str, Any]) -> Stage:
    tracks_seen, hours = int(content["tracks_seen"]), float(content["hours"])
    judged = [
        Point(int(point["tracks_seen"]), float(point["hours"]), {str(k): float(v) for k, v in point["readings"].items()})
        for point in content["judged"]
    ]
    course = Course([Point(tracks_seen, hours, {})], judged)
    return Stage(float(content["track_s"]), float(content["flop_per_track"]), course, tracks_seen)


def after_each_other(stages: Sequence[Stage]) -> list[Stage]:
    """The same, each after the hours of those before it."""
    ordered: list[Stage] = []
    for stage in stages:
        ordered.append(replace(stage, hours_before=ordered[-1].hours if ordered else 0.0))
    return ordered


def _evaluated(point: Point) -> dict[str, float]:
    return {name: value for name, value in point.readings.items() if name.startswith("evaluation/")}
