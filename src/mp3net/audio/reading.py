"""Recordings at the rate and with the channels that one wants, block by block or whole."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np

from mp3net.audio.damage import Damage
from mp3net.audio.decoding import Decoder, UnusableAudioError, probe
from mp3net.audio.resampling import resampled
from mp3net.errors import Mp3netError


class Stream:
    """A file decoded block by block, in constant memory. Iterate once: float32 (S, C) at the wanted rate.

    Resampled with soxr at its HQ setting. Stereo to mono is the mean of both channels; mono to stereo copies it to both.
    Errors: UnusableAudioError for undecodable or non-finite audio.
    """

    def __init__(self, path: Path, sample_rate_hz: int, channels: int, downmix: bool = False) -> None:
        self._decoder = Decoder(path, downmix)
        self._sample_rate_hz, self._channels = sample_rate_hz, channels
        self._low, self._high = math.inf, -math.inf

    @property
    def damage(self) -> Damage:
        """What could not be decoded. Complete after the last block."""
        return self._decoder.damage

    @property
    def source_swing(self) -> float:
        """Half the distance between the highest and the lowest sample of the file, before its channels were mixed."""
        return (self._high - self._low) / 2

    def __iter__(self) -> Iterator[np.ndarray]:
        for rate, run in groupby(self._decoder.blocks(), lambda item: item[0]):
            blocks = (self._matched(block) for _, block in run)
            yield from blocks if rate == self._sample_rate_hz else resampled(blocks, rate, self._sample_rate_hz)

    def _matched(self, block: np.ndarray) -> np.ndarray:
        self._high, self._low = max(self._high, high := float(block.max())), min(self._low, low := float(block.min()))
        if not math.isfinite(high - low):
            raise UnusableAudioError("holds non-finite samples (NaN or infinity)")
        if block.shape[1] == self._channels:
            return block
        if self._channels == 1:
            mono: np.ndarray = block.mean(axis=1, keepdims=True, dtype=np.float32)
            return mono
        return np.repeat(block, self._channels, axis=1)


def heard(path: Path) -> Damage:
    """How much of a file can be decoded, and what is missing: whatever its header says, it may have been cut short.

    Errors: UnusableAudioError if that is nothing."""
    decoder = Decoder(path)
    for _ in decoder.blocks():
        pass
    return decoder.damage


def read(path: Path, sample_rate_hz: int | None = None, channels: int | None = None) -> tuple[np.ndarray, int]:
    """A whole file as float32 (C, S) and its sample rate; converted if a rate or channels are given.

    Errors: Mp3netError naming the file.
    """
    try:
        info = probe(path)
        rate = sample_rate_hz or info.sample_rate_hz
        blocks = list(Stream(path, rate, channels or info.channels))
    except UnusableAudioError as error:
        raise Mp3netError(f"{path}: {error}") from None
    if not blocks:
        raise Mp3netError(f"{path}: holds no samples")
    return np.ascontiguousarray(np.concatenate(blocks).T), rate
