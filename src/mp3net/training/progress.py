"""Rates and remaining time."""

from __future__ import annotations

import time
from collections.abc import Mapping


class Clock:
    """Rate since the last report, and time left at the mean rate so far."""

    def __init__(self, tracks_seen: int, total_tracks: int) -> None:
        self.total_tracks = total_tracks
        self.first = self.last = (time.monotonic(), tracks_seen)

    def rate(self, tracks_seen: int) -> float:
        """Tracks per second since the last call."""
        now = time.monotonic()
        rate = (tracks_seen - self.last[1]) / max(now - self.last[0], 1e-9)
        self.last = (now, tracks_seen)
        return rate

    def left_s(self, tracks_seen: int) -> float:
        elapsed_s = time.monotonic() - self.first[0]
        return elapsed_s / max(tracks_seen - self.first[1], 1) * max(self.total_tracks - tracks_seen, 0)


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
