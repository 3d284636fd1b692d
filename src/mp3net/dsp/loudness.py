"""Integrated loudness after ITU-R BS.1770-4, block by block: pyloudnorm, whose filters it uses, needs whole recordings."""

from __future__ import annotations

import math

import numpy as np

# Blocks of 400 ms, a new one every 100 ms; gates at -70 LUFS and 10 LU below what passes that.
STEP_S = 0.1
STEPS_PER_BLOCK = 4
ABSOLUTE_GATE_LUFS = -70.0
RELATIVE_GATE_LU = 10.0
# Gain in dB, Q and frequency in Hz of the K-weighting filters for the head and for the ear.
K_WEIGHTING = {"high_shelf": (4.0, 1 / math.sqrt(2), 1500.0), "high_pass": (0.0, 0.5, 38.0)}


class Loudness:
    """Loudness of audio that arrives in blocks (S, C), in memory that grows by a few bytes per second."""

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        from pyloudnorm import IIRfilter  # takes half a second, in every worker that decodes

        stages = [IIRfilter(*values, sample_rate_hz, kind) for kind, values in K_WEIGHTING.items()]
        self._filters = [(stage.b * stage.passband_gain, stage.a) for stage in stages]
        self._states = [np.zeros((max(len(b), len(a)) - 1, channels)) for b, a in self._filters]
        self._rate = sample_rate_hz
        self._steps = 0
        self._rest = np.zeros((0, channels))
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
        """In LUFS; None if nothing is louder than -70 LUFS, or there is less than one block."""
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
