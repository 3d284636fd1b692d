"""How a run stands, in words: for the console, `mp3net info` and the studio."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mp3net.config import Config
from mp3net.training.course import Course, read_course
from mp3net.training.progress import format_duration
from mp3net.training.reference import Reference, beside, reference_for
from mp3net.training.schedule import falls_until
from mp3net.training.verdict import Verdict, judge


@dataclass(frozen=True)
class Standing:
    """The verdict on a run, where its reference was (empty if there is none), and how far it has gone."""

    course: Course
    reference: Reference | None
    verdict: Verdict
    compared: str
    progress: str

    def __str__(self) -> str:
        return f"{self.verdict}" + (f"; {self.compared}" if self.compared else "")


def standing(run: Path, config: Config) -> Standing:
    """Errors: Mp3netError if its reports cannot be read."""
    course, reference = read_course(run), reference_for(config)
    total = config.run.total_tracks
    falls = falls_until(config.optimiser.learning_rate_schedule, course.tracks_seen, total)
    compared = beside(course, reference) if reference is not None else ""
    return Standing(course, reference, judge(course, falls), compared, _progress(course, run, total))


def _progress(course: Course, run: Path, total_tracks: int) -> str:
    done = f"{course.tracks_seen:,} of {total_tracks:,} tracks"
    if course.tracks_seen >= total_tracks:
        return f"{done}: finished"
    rate = course.tracks_per_hour()
    left = f", {format_duration(3600 * (total_tracks - course.tracks_seen) / rate)} left at its latest rate" if rate else ""
    silence_s = course.silence_s(run)
    if silence_s is None:
        return f"{done}{left}"
    return f"{done}{left}; it reported last {format_duration(silence_s)} ago: the same `mp3net train` command goes on"
