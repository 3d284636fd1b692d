"""How a run has gone so far, read from its metrics.jsonl."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

from mp3net.errors import Mp3netError
from mp3net.training.progress import RECENT_REPORTS

METRICS_FILE = "metrics.jsonl"
# A run that says nothing for so many times as long as it usually does, and for so long at least, stands still.
QUIET_TIMES, QUIET_S = 5, 600
RATE, DIVERGED = "rate/tracks_per_s", "fault/diverged"
NEIGHBOURS, STOOD_STILL = 5, 10


@dataclass(frozen=True)
class Point:
    """Readings by name, of which there were so many tracks, after so many hours of training."""

    tracks_seen: int
    hours: float
    readings: dict[str, float]


@dataclass(frozen=True)
class Course:
    """The reports of a run: means of what every step gives (`logged`), light evaluations (`evaluated`), and after how many
    tracks its numbers were no longer finite."""

    logged: list[Point]
    evaluated: list[Point]
    diverged_at: int | None = None

    @property
    def tracks_seen(self) -> int:
        return max((points[-1].tracks_seen for points in (self.logged, self.evaluated) if points), default=0)

    def hours_at(self, tracks_seen: int) -> float:
        """Hours of training up to there, linear between reports."""
        before = Point(0, 0.0, {})
        for first, second in pairwise([before, *self.logged]):
            if tracks_seen <= second.tracks_seen:
                share = (tracks_seen - first.tracks_seen) / max(second.tracks_seen - first.tracks_seen, 1)
                return first.hours + share * (second.hours - first.hours)
        return self.logged[-1].hours if self.logged else 0.0

    def tracks_per_hour(self) -> float | None:
        """The rate of the last reports; None if there is none."""
        recent = self.logged[-RECENT_REPORTS - 1 :]
        if not recent:
            return None
        first = recent[0] if len(recent) > 1 else Point(0, 0.0, {})
        hours = recent[-1].hours - first.hours
        return (recent[-1].tracks_seen - first.tracks_seen) / hours if hours > 0 else None

    def silence_s(self, run: Path) -> float | None:
        """How long ago the last report of a run was, if that is unusually long; None if it is not, or nothing is known."""
        recent = self.logged[-RECENT_REPORTS - 1 :]
        try:
            since_s = time.time() - (run / METRICS_FILE).stat().st_mtime
        except OSError:
            return None
        usual_s = 3600 * (recent[-1].hours - recent[0].hours) / (len(recent) - 1) if len(recent) > 1 else 0.0
        return since_s if since_s > max(QUIET_S, QUIET_TIMES * usual_s) else None


def read_course(run: Path) -> Course:
    """The course of a run, which may be in training: an unfinished last line is left out.

    Time is that of training alone: between reports the tracks over their rate, and not while it stood still.
    Errors: Mp3netError if the file cannot be read.
    """
    path = run / METRICS_FILE
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return Course([], [])
    except (OSError, UnicodeDecodeError) as error:
        raise Mp3netError(f"{path}: cannot be read: {error}") from None
    rows: list[dict[str, float]] = []
    for line in lines:
        try:
            row = json.loads(line)
            rows.append({name: float(value) for name, value in row.items()})
        except (ValueError, AttributeError, TypeError):
            break  # cut short when the run was killed, or being written just now
    return _course([row for row in rows if "tracks_seen" in row])


def _course(rows: list[dict[str, float]]) -> Course:
    reports = [row for row in rows if row.get(RATE, 0.0) > 0]
    logged: list[Point] = []
    for row, rate in zip(reports, _working_rates([row[RATE] for row in reports]), strict=True):
        seen = int(row["tracks_seen"])
        before = logged[-1] if logged else Point(0, 0.0, {})
        logged.append(Point(seen, before.hours + (seen - before.tracks_seen) / rate / 3600, row))
    course = Course(logged, [])
    others = (row for row in rows if any(name.startswith("evaluation/") for name in row))
    evaluated = [Point(int(row["tracks_seen"]), course.hours_at(int(row["tracks_seen"])), row) for row in others]
    diverged = [int(row["tracks_seen"]) for row in rows if DIVERGED in row]
    return Course(logged, evaluated, diverged[-1] if diverged else None)


def _working_rates(rates: list[float]) -> list[float]:
    """A process that was suspended for hours has not trained then: a report that is STOOD_STILL times slower than those
    around it counts as fast as they are."""
    around = [median(rates[max(place - NEIGHBOURS, 0) : place + NEIGHBOURS + 1]) for place in range(len(rates))]
    return [usual if rate < usual / STOOD_STILL else rate for rate, usual in zip(rates, around, strict=True)]
