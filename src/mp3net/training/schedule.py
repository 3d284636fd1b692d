"""Factors that change during training, as functions of the tracks seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def factor_at(points: Sequence[tuple[int, float]], tracks_seen: int) -> float:
    """The factor after `tracks_seen` tracks: linear between the points, constant before and after them, 1 without any."""
    if not points:
        return 1.0
    tracks, factors = zip(*points, strict=True)
    return float(np.interp(tracks_seen, tracks, factors))


def falls_until(points: Sequence[tuple[int, float]], tracks_seen: int, total_tracks: int) -> int | None:
    """Up to how many tracks of a training the factor still falls below that of now; None if it does not."""
    now = factor_at(points, tracks_seen)
    later = [tracks for tracks, factor in points if tracks > tracks_seen and factor < now]
    return min(max(later), total_tracks) if later and tracks_seen < total_tracks else None
