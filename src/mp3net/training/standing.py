"""How a run stands, in words: for the console, `mp3net info` and the studio."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path

from mp3net.config import Config
from mp3net.training.checkpoint import saved_tracks
from mp3net.training.course import Course, read_course
from mp3net.training.progress import format_duration
from mp3net.training.reference import Reference, beside, reference_for
from mp3net.training.schedule import falls_until
from mp3net.training.verdict import READINGS, Verdict, judge


@dataclass(frozen=True)
class Standing:
    """The verdict on a run, where its reference was (empty if there is none), and how far it has gone."""

    course: Course
    reference: Reference | None
    verdict: Verdict
    compared: str
    progress: str
    stopped: bool
    """Before its end, or so long silent that it must be."""
    finished: bool

    def __str__(self) -> str:
        return f"{self.verdict}" + (f"; {self.compared}" if self.compared else "")

    @property
    def readings(self) -> str:
        """Its last evaluation in numbers, and from where on each would be called good; empty before the first."""
        if not self.course.evaluated:
            return ""
        now = self.course.evaluated[-1]
        numbers = ", ".join(f"{one.name} {one.shown(now)} (good: {one.wanted(now)})" for one in READINGS)
        return f"{numbers}, after {now.tracks_seen:,} tracks"


def standing(run: Path, config: Config) -> Standing:
    """Errors: Mp3netError if its reports cannot be read."""
    course, reference = read_course(run), reference_for(config)
    total = config.run.total_tracks
    falls = falls_until(config.optimiser.learning_rate_schedule, course.tracks_seen, total)
    compared = beside(course, reference) if reference is not None and course.diverged_at is None else ""
    verdict = judge(course, falls)
    if verdict.state == "improving" and course.tracks_seen >= total:
        more = shlex.join(["mp3net", "train", "--out", str(run), "--tracks", str(2 * total)])
        verdict = replace(verdict, advice=f"It ended while it was getting better; to train on: {more}")
    silence_s = course.silence_s(run) if course.tracks_seen < total else None
    progress = _progress(course, run, total, silence_s)
    stopped = silence_s is not None or course.diverged_at is not None
    return Standing(course, reference, verdict, compared, progress, stopped, course.tracks_seen >= total)


def _progress(course: Course, run: Path, total_tracks: int, silence_s: float | None) -> str:
    # A checkpoint may be of more than the last report.
    done = f"{max(course.tracks_seen, saved_tracks(run)):,} of {total_tracks:,} tracks"
    if course.tracks_seen >= total_tracks:
        return f"{done}: finished"
    if course.diverged_at is not None:
        return f"{done}: stopped"
    if silence_s is not None:
        again = shlex.join(["mp3net", "train", "--out", str(run)])
        return f"{done}: STOPPED, no report for {format_duration(silence_s)}; to go on: {again}"
    rate = course.tracks_per_hour()
    left = f", {format_duration(3600 * (total_tracks - course.tracks_seen) / rate)} left at its latest rate" if rate else ""
    return f"{done}{left}"
