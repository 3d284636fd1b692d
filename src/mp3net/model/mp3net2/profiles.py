"""The mean profiles that songs and recordings are compared by whatever they go by: neither a beat nor a key is needed."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from mp3net.config import AudioConfig, Mp3net2Model
from mp3net.model.mp3net2.intervals import interval_profile
from mp3net.model.mp3net2.movement import loudness_profile, movement_profile
from mp3net.model.mp3net2.tuning import tuning_profile


def mean_profiles(features: Tensor, model: Mp3net2Model, audio: AudioConfig) -> Iterator[tuple[str, Tensor]]:
    """Features (B, T, 6, C, F) of tracks -> the profiles (B, ...) that the configuration asks for, by name."""
    if model.tuning_harmonics:
        yield "tuning", tuning_profile(features, audio, model.tuning_harmonics)
    if model.movement_lags:
        yield "movement", movement_profile(features, model.movement_lags)
    if model.loudness_lags:
        yield "loudness", loudness_profile(features, model.loudness_lags, model.loudness_gain)
    if model.interval_lags:
        yield "intervals", interval_profile(features, audio, model.interval_lags)
