"""What is known of a recording only after its last sample: mean, peak, silent ends, loudness. Measured block by block."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mp3net.config import DataConfig

# Recordings reach this peak, as in the authors' preparation.
PEAK = 0.999
TRIM_SAMPLES = 1024
"""Silent ends are found in steps of so many samples: 46 ms at 22 kHz, which also keeps the onset of the first note."""

# ITU-R BS.1770-4: blocks of 400 ms, a new one every 100 ms; gates at -70 LUFS and 10 LU below what passes that.
STEP_S = 0.1
STEPS_PER_BLOCK = 4
ABSOLUTE_GATE_LUFS = -70.0
RELATIVE_GATE_LU = 10.0


class Levels:
    """Statistics of audio that arrives as blocks (S, C), in memory that grows by a few bytes per second of it."""

    def __init__(self, config: DataConfig) -> None:
        self.num_samples = 0
        self._sum = np.zeros(config.channels)
        self._peaks: list[np.ndarray] = []  # per TRIM_SAMPLES: highest and lowest sample of each channel
        self._rest = np.zeros((0, config.channels), np.float32)
        self._loudness = Loudness(config) if config.level == "loudness" else None

    def add(self, block: np.ndarray) -> None:
        self.num_samples += len(block)
        joined = np.ascontiguousarray(
            np.concatenate([self._rest, block]).T
        )  # sums and peaks along rows are much faster
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
    """Samples [begin, end) are kept; `offset` (C,) is subtracted, then `gain` multiplied. `peak` is that before the gain."""

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


class Loudness:
    """Integrated loudness of ITU-R BS.1770-4 over blocks of audio; pyloudnorm needs the whole recording in memory."""

    def __init__(self, config: DataConfig) -> None:
        import pyloudnorm  # half a second, in every worker

        stages = pyloudnorm.Meter(config.sample_rate_hz)._filters.values()
        self._filters = [(stage.b * stage.passband_gain, stage.a) for stage in stages]
        self._states = [np.zeros((max(len(b), len(a)) - 1, config.channels)) for b, a in self._filters]
        self._rate = config.sample_rate_hz
        self._steps = 0
        self._rest = np.zeros((0, config.channels))
        self._energies: list[np.ndarray] = []

    def add(self, block: np.ndarray) -> None:
        from scipy.signal import lfilter

        weighted = block.astype(np.float64)
        for index, (b, a) in enumerate(self._filters):
            weighted, self._states[index] = lfilter(b, a, weighted, axis=0, zi=self._states[index])
        joined = np.concatenate([self._rest, weighted])
        begin = self._edge(self._steps)
        last = self._steps
        while self._edge(last + 1) <= begin + len(joined):
            last += 1
        edges = np.array([self._edge(step) - begin for step in range(self._steps, last + 1)])
        if last > self._steps:
            sums = np.add.reduceat(np.square(joined[: edges[-1]]), edges[:-1], axis=0).sum(1)
            self._energies.append(sums / np.diff(edges))
        self._rest, self._steps = joined[edges[-1] :], last

    def _edge(self, step: int) -> int:
        """Where a step begins: 100 ms need not be a whole number of samples, and must not drift."""
        return round(step * STEP_S * self._rate)

    def integrated_lufs(self) -> float | None:
        """None where nothing is louder than -70 LUFS, or there is less than one block."""
        steps = np.concatenate(self._energies) if self._energies else np.zeros(0)
        if len(steps) < STEPS_PER_BLOCK:
            return None
        blocks = np.convolve(steps, np.full(STEPS_PER_BLOCK, 1 / STEPS_PER_BLOCK), "valid")
        audible = blocks[blocks > _energy(ABSOLUTE_GATE_LUFS)]
        if not len(audible):
            return None
        counted = audible[audible > _energy(_lufs(float(audible.mean())) - RELATIVE_GATE_LU)]
        return _lufs(float(counted.mean()))


def _lufs(energy: float) -> float:
    return -0.691 + 10 * math.log10(energy)


def _energy(lufs: float) -> float:
    return float(10 ** ((lufs + 0.691) / 10))
