"""What a run reports while it trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mp3net.generation import Song


class Watcher:
    """Receives reports, each with the number of tracks seen; overriding a method is optional."""

    def advanced(self, tracks_seen: int) -> None:
        """An iteration has finished."""

    def logged(self, tracks_seen: int, readings: Mapping[str, float]) -> None:
        """Means of all readings since the last report."""

    def sampled(self, tracks_seen: int, songs: Sequence[Song], real: Sequence[np.ndarray]) -> None:
        """Songs of fixed seeds, and as many real clips (C, S)."""

    def evaluated(self, tracks_seen: int, readings: Mapping[str, float]) -> None:
        """Light metrics."""

    def diverged(self, tracks_seen: int) -> None:
        """A loss or a weight is no longer finite; nothing follows but `close`."""

    def close(self) -> None:
        """The run ends."""
