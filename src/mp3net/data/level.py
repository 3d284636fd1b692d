"""What is known about a recording only after its last sample: mean, peak, silent ends, loudness. Measured block by block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mp3net.config import DataConfig
from mp3net.dsp.loudness import Loudness

# Recordings are scaled to this peak, as in the authors' preparation.
PEAK = 0.999
TRIM_SAMPLES = 1024
"""Silent ends are found in steps of this many samples: 46 ms at 22 kHz, which also keeps the onset of the first note."""


class Levels:
    """Statistics of audio that arrives in blocks (S, C); memory grows by a few bytes per second of audio."""

    def __init__(self, config: DataConfig) -> None:
        self.num_samples = 0
        self._sum = np.zeros(config.channels)
        self._peaks: list[np.ndarray] = []  # per TRIM_SAMPLES: highest and lowest sample of each channel
        self._rest = np.zeros((0, config.channels), np.float32)
        self._loudness = Loudness(config.sample_rate_hz, config.channels) if config.level == "loudness" else None

    def add(self, block: np.ndarray) -> None:
        self.num_samples += len(block)
        joined = np.ascontiguousarray(np.concatenate([self._rest, block]).T)  # sums and peaks along rows are much faster
        whole = joined.shape[1] // TRIM_SAMPLES * TRIM_SAMPLES
        self._note(joined[:, :whole].reshape(len(joined), -1, TRIM_SAMPLES))
        self._rest = joined[:, whole:].T
        if self._loudness is not None:
            self._loudness.add(block)

    def finish(self, config: DataConfig) -> Outcome:
        """What follows from the whole recording. Call once, after the last block."""
        if len(self._rest):
            self._note(self._rest.T[:, None])
        if not self.num_samples:
            return Outcome(0, 0, np.zeros(config.channels, np.float32), 0.0, 1.0, None)
        offset = self._sum / self.num_samples if config.remove_dc else np.zeros(config.channels)
        extremes = np.concatenate(self._peaks, axis=2)  # (2, C, chunks)
        peaks = np.abs(extremes - offset[:, None]).max((0, 1))
        peak = float(peaks.max())
        first, last = 0, len(peaks)
        if config.trim_silence_db is not None and peak > 0:
            loud = np.flatnonzero(peaks > peak * 10 ** (config.trim_silence_db / 20))
            first, last = int(loud[0]), int(loud[-1]) + 1
        loudness = self._loudness.integrated_lufs() if self._loudness is not None else None
        begin, end = first * TRIM_SAMPLES, min(last * TRIM_SAMPLES, self.num_samples)
        return Outcome(begin, end, offset.astype(np.float32), peak, _gain(config, peak, loudness), loudness)

    def _note(self, chunks: np.ndarray) -> None:
        """(C, chunks, samples)"""
        self._sum += chunks.sum((1, 2), dtype=np.float64)
        self._peaks.append(np.stack([chunks.max(2), chunks.min(2)]))


@dataclass(frozen=True)
class Outcome:
    """Samples [begin, end) are kept; `offset` (C,) is subtracted, then `gain` applied. `peak` is that before the gain."""

    begin: int
    end: int
    offset: np.ndarray
    peak: float
    gain: float
    loudness_lufs: float | None


def _gain(config: DataConfig, peak: float, loudness_lufs: float | None) -> float:
    if peak == 0:
        return 1.0
    if config.level == "peak":
        return PEAK / peak
    wanted = 1.0 if loudness_lufs is None else 10 ** ((config.loudness_lufs - loudness_lufs) / 20)
    return min(wanted, PEAK / peak)
