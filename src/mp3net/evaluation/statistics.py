"""Uncertainty of a number: half-sampling, the bootstrap without replacement.

A bootstrap with replacement repeats clips, and repeated clips have neighbours at distance zero: density, coverage and the
Frechet distance would change for that reason alone. Half of the units drawn without replacement contain no repeats, and a
mean over m of n units scatters about the mean of all with the variance s^2 (1/m - 1/n), which is s^2 / n at m = n / 2:
exactly the variance wanted. Units are pieces, files or seeds, since clips of one piece are not independent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

REPLICATES = 200
CONFIDENCE = 0.95
MIN_UNITS = 4


@dataclass(frozen=True)
class Estimate:
    """A value and the 95 % interval about it."""

    value: float
    low: float
    high: float

    def within(self, lowest: float, highest: float) -> Estimate:
        """The same value, with its interval cut to the possible range."""
        return Estimate(self.value, max(self.low, lowest), min(self.high, highest))


@dataclass(frozen=True)
class Score:
    """A metric's value and its deviation from real music (0 is the best), each with a 95 % interval."""

    value: Estimate
    deviation: Estimate


class Reading(NamedTuple):
    """A metric's value and its deviation from real music, 0 being the best."""

    value: float
    deviation: float


# Clip indices of reference and candidate -> readings by metric.
Measure = Callable[[np.ndarray, np.ndarray], dict[str, Reading]]


def half_samples(units: np.ndarray, replicates: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """Indices of the clips (n,) that belong to a random half of the units; `units` (n,) numbers the unit of each clip.

    With fewer than 4 units the clips themselves are drawn (callers report this).
    """
    if len(np.unique(units)) < MIN_UNITS:
        units = np.arange(len(units))
    distinct = np.unique(units)
    for _ in range(replicates):
        chosen = random.permutation(distinct)[: len(distinct) // 2]
        yield np.flatnonzero(np.isin(units, chosen))


def estimate(value: float, replicates: np.ndarray, units: int) -> Estimate:
    """The interval of `value` from its values on half-samples (R,).

    Half-samples may all be shifted (a Frechet distance grows as samples get fewer), so only their scatter counts:
    value + quantiles(replicates - their mean), scaled by sqrt(m / (n - m)) if n units do not divide into halves.
    """
    half = max(units // 2, 1)
    scale = np.sqrt(half / max(units - half, 1))
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(replicates - replicates.mean(), [tail, 100 - tail]) * scale
    # With few distinct replicates (a value of 0 except for rare clips), both quantiles can lie on one side of the mean.
    return Estimate(float(value), float(value + min(low, 0)), float(value + max(high, 0)))


def resample(measure: Measure, reference_units: np.ndarray, candidate_units: np.ndarray, seed: int) -> dict[str, Score]:
    """Scores of every reading that `measure` returns, by name."""
    random = np.random.default_rng(seed)
    readings = measure(np.arange(len(reference_units)), np.arange(len(candidate_units)))
    halves = zip(
        half_samples(reference_units, REPLICATES, random), half_samples(candidate_units, REPLICATES, random), strict=True
    )
    scattered = [measure(reference, candidate) for reference, candidate in halves]
    units = min(_count(reference_units), _count(candidate_units))

    def score(name: str, reading: Reading) -> Score:
        values, deviations = np.array([replicate[name] for replicate in scattered]).T
        return Score(estimate(reading.value, values, units), estimate(reading.deviation, deviations, units))

    return {name: score(name, reading) for name, reading in readings.items()}


def _count(units: np.ndarray) -> int:
    distinct = len(np.unique(units))
    return distinct if distinct >= MIN_UNITS else len(units)
