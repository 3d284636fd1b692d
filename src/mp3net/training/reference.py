"""The courses of trainings that are known to be good, to compare others with. They are part of the package."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from statistics import median

from mp3net.config import PRESETS, Config
from mp3net.training.course import Course, Point
from mp3net.training.progress import format_duration

FOLDER = "references"


@dataclass(frozen=True)
class Reference:
    """A training of a preset: its data in words, its light evaluations, and from when on its songs were good.

    Good, in words: the kernel distance and coverage from which on notes are heard in most songs.
    """

    preset: str
    data: str
    good_at_tracks: int
    good: str
    course: Course

    def nearest(self, tracks_seen: int) -> Point:
        """Its evaluation that is nearest to this number of tracks."""
        return min(self.course.evaluated, key=lambda point: abs(point.tracks_seen - tracks_seen))

    def around(self, reading: str, tracks_seen: int) -> float:
        """Median of a reading over the three evaluations that are nearest to this number of tracks, because one scatters."""
        near = sorted(self.course.evaluated, key=lambda point: abs(point.tracks_seen - tracks_seen))[:3]
        return median(point.readings[f"evaluation/{reading}"] for point in near)


@cache
def references() -> dict[str, Reference]:
    """All references by the name of their preset."""
    found = {}
    for file in resources.files("mp3net.training").joinpath(FOLDER).iterdir():
        if file.name.endswith(".json"):
            content = json.loads(file.read_text(encoding="utf-8"))
            columns = content["evaluated"]
            points = [
                Point(tracks, hours, {name: values[row] for name, values in columns["readings"].items()})
                for row, (tracks, hours) in enumerate(zip(columns["tracks_seen"], columns["hours"], strict=True))
            ]
            facts = {name: content[name] for name in ("preset", "data", "good_at_tracks", "good")}
            found[content["preset"]] = Reference(**facts, course=Course([], points))
    return found


def reference_for(config: Config) -> Reference | None:
    """The reference of the preset whose networks and audio are these."""
    return next(
        (
            reference
            for name, reference in references().items()
            if PRESETS[name].audio == config.audio and PRESETS[name].model == config.model
        ),
        None,
    )


def beside(course: Course, reference: Reference) -> str:
    """Where the reference was at the last evaluation of a run, and how long it is to where it became good."""
    if not course.evaluated:
        return ""
    now = course.evaluated[-1]
    seen, last = now.tracks_seen, reference.course.evaluated[-1].tracks_seen
    name = f"the reference ({reference.preset} on {reference.data})"
    said = ""
    if seen <= 1.1 * last:
        own = [now.readings[f"evaluation/{reading}"] for reading in ("kernel_logmel", "coverage_logmel")]
        its = [reference.around(reading, seen) for reading in ("kernel_logmel", "coverage_logmel")]
        said = (
            f"kernel distance {own[0]:.1f} and coverage {own[1]:.2f} after {seen:,} tracks, where {name} had "
            f"{its[0]:.1f} and {its[1]:.2f}; "
        )
        name = "it"
    rate = course.tracks_per_hour()
    if seen >= reference.good_at_tracks:
        return f"{said}{name} had {reference.good} from {reference.good_at_tracks:,} tracks on"
    left_s = 3600 * (reference.good_at_tracks - seen) / rate if rate else None
    left = f", {format_duration(left_s)} from here if this one learns as fast" if left_s is not None else ""
    return f"{said}{name} had {reference.good} from {reference.good_at_tracks:,} tracks on{left}"
