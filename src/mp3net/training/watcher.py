"""What a training tells of itself while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mp3net.generation import Song


class Watcher:
    """Is told what happens, after so many tracks seen; every method may be left as it is."""

    def advanced(self, tracks_seen: int) -> None:
        """An iteration is done."""

    def logged(self, tracks_seen: int, readings: Mapping[str, float]) -> None:
        """Means of all readings since the last time."""

    def sampled(self, tracks_seen: int, songs: Sequence[Song], real: Sequence[np.ndarray]) -> None:
        """Songs of fixed seeds, and as many real clips (C, S)."""

    def evaluated(self, tracks_seen: int, readings: Mapping[str, float]) -> None:
        """Light metrics."""

    def close(self) -> None:
        """The training ends."""
