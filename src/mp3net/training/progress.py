"""Rates and remaining time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping

# Time left is told by the rate of so many reports.
RECENT_REPORTS = 20


class Clock:
    """Rate since the last report, and time left at the rate of the last RECENT_REPORTS."""

    def __init__(self, tracks_seen: int, total_tracks: int) -> None:
        self.total_tracks = total_tracks
        self._reports = deque([(time.monotonic(), tracks_seen)], maxlen=RECENT_REPORTS + 1)

    def reported(self, tracks_seen: int) -> None:
        self._reports.append((time.monotonic(), tracks_seen))

    def rate(self) -> float:
        """Tracks per second between the last two reports; 0 before the first."""
        return self._rate(-2) if len(self._reports) > 1 else 0.0

    def left_s(self) -> float:
        """Seconds from the last report to the end; infinite before the first."""
        left = max(self.total_tracks - self._reports[-1][1], 0)
        return left / max(self._rate(0), 1e-9) if left else 0.0

    def _rate(self, since: int) -> float:
        (start_s, first), (now_s, last) = self._reports[since], self._reports[-1]
        return (last - first) / max(now_s - start_s, 1e-9)


class Means:
    """Means of named readings, each over the times it was reported."""

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {}

    def __bool__(self) -> bool:
        return bool(self._values)

    def add(self, readings: Mapping[str, float]) -> None:
        for name, value in readings.items():
            self._values.setdefault(name, []).append(value)

    def taken(self) -> dict[str, float]:
        """The means since the last call."""
        means = {name: sum(values) / len(values) for name, values in self._values.items()}
        self._values = {}
        return means


def format_duration(seconds: float) -> str:
    """Seconds as "45 s", "12 min", "3.4 h" or "2.1 days"."""
    for size, unit in ((86400, "days"), (3600, "h")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
