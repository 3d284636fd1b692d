"""Distances between sets, against independent implementations and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

from mp3net.evaluation.distribution import Distances, density_and_coverage, frechet_distance, kernel_distance
from mp3net.evaluation.statistics import Reading, estimate, half_samples, resample


def points(seed: int, n: int, d: int, shift: float = 0.0, scale: float = 1.0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return shift + scale * random.standard_normal((n, d)) @ random.standard_normal((d, d))


def frechet_by_scipy(x: np.ndarray, y: np.ndarray) -> float:
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = scipy.linalg.sqrtm(a @ b)
    return float(np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(a + b - 2 * np.real(root)))


@pytest.mark.parametrize(("n", "m", "d"), [(300, 200, 20), (512, 512, 120), (64, 80, 8)])
def test_frechet_agrees_with_scipy(n, m, d):
    x, y = points(1, n, d), points(2, m, d, 0.3, 1.4)
    assert frechet_distance(x, y) == pytest.approx(frechet_by_scipy(x, y), rel=1e-6)


def test_frechet_of_fewer_samples_than_dimensions():
    x, y = points(1, 20, 50), points(2, 30, 50, 0.2)
    # The square root of S_x S_y through the symmetric S_x^(1/2) S_y S_x^(1/2), whose eigenvalues are real and non-negative.
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    values, vectors = np.linalg.eigh(a)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    product = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ b @ root), 0)).sum()
    expected = np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(a + b) - 2 * product
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-6)


def test_frechet_of_equal_and_shifted_sets():
    x = points(3, 100, 10)
    assert frechet_distance(x, x) < 1e-9
    assert frechet_distance(x, x + 0.5) == pytest.approx(10 * 0.25, rel=1e-9)


def test_kernel_distance_by_loops():
    x, y = points(4, 12, 3), points(5, 9, 3, 0.4)
    pairs = [np.sum((a - b) ** 2) for i, a in enumerate(x) for b in x[i + 1 :]]
    width = np.median(pairs)

    def kernel(a, b):
        return np.exp(-np.sum((a - b) ** 2) / (2 * width))

    within_x = np.mean([kernel(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
    within_y = np.mean([kernel(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
    between = np.mean([kernel(a, b) for a in x for b in y])
    found = kernel_distance(Distances(x, y), np.arange(12), np.arange(9))
    assert found == pytest.approx(100 * (within_x + within_y - 2 * between), rel=1e-9)


def test_kernel_distance_is_unbiased():
    random = np.random.default_rng(0)
    values = []
    for _ in range(300):
        x, y = random.standard_normal((2, 20, 4))
        values.append(kernel_distance(Distances(x, y), np.arange(20), np.arange(20)))
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 4 * error
    assert np.mean(np.array(values) < 0) > 0.3


def test_density_and_coverage_by_hand():
    reference = np.array([[0.0], [1.0], [3.0], [10.0]])
    # With k = 1 the balls are [-1, 1], [0, 2], [1, 5] and [3, 17].
    candidate = np.array([[0.5], [1.5], [50.0]])
    density, coverage = density_and_coverage(Distances(reference, candidate), np.arange(4), np.arange(3), k=1)
    assert density == pytest.approx((2 + 2 + 0) / 3)
    assert coverage == pytest.approx(3 / 4)


def test_density_and_coverage_of_equal_laws():
    x, y = (np.random.default_rng(seed).standard_normal((400, 6)) for seed in (1, 2))
    density, coverage = density_and_coverage(Distances(x, y), np.arange(400), np.arange(400))
    assert 0.85 < density < 1.15
    assert coverage == pytest.approx(1 - 2.0**-5, abs=0.03)


def test_half_samples_have_the_standard_error_of_the_mean():
    random = np.random.default_rng(1)
    values = random.standard_normal(200)
    means = np.array([values[chosen].mean() for chosen in half_samples(np.arange(200), 4000, random)])
    assert means.std() == pytest.approx(values.std(ddof=1) / np.sqrt(200), rel=0.05)


def test_half_samples_keep_units_together():
    units = np.repeat(np.arange(10), 7)
    for chosen in half_samples(units, 20, np.random.default_rng(0)):
        assert len(chosen) == 35
        assert all(np.isin(np.flatnonzero(units == unit), chosen).sum() in (0, 7) for unit in range(10))


def test_clips_of_one_piece_widen_the_interval():
    random = np.random.default_rng(2)
    pieces = np.repeat(np.arange(20), 20)
    values = random.standard_normal(20)[pieces] + 0.1 * random.standard_normal(400)

    def measure(reference, candidate):
        return {"mean": Reading(float(values[candidate].mean()), 0.0)}

    by_piece = resample(measure, pieces, pieces, 0)["mean"].value
    by_clip = resample(measure, pieces, np.arange(400), 0)["mean"].value
    assert by_piece.high - by_piece.low == pytest.approx(4 * values.std() / np.sqrt(20), rel=0.3)
    assert by_clip.high - by_clip.low < 0.4 * (by_piece.high - by_piece.low)


def test_interval_covers_the_truth_about_95_times_in_100():
    covered = 0
    for seed in range(200):
        values = np.random.default_rng(seed).standard_normal(60)

        def measure(reference, candidate, values=values):
            return {"mean": Reading(float(values[candidate].mean()), 0.0)}

        found = resample(measure, np.arange(60), np.arange(60), seed)["mean"].value
        covered += found.low <= 0 <= found.high
    assert 180 <= covered <= 198


def test_estimate_ignores_a_common_shift_and_holds_its_value():
    assert estimate(1.0, np.array([5.0, 6.0, 7.0]), 10).low < 1 < estimate(1.0, np.array([5.0, 6.0, 7.0]), 10).high
    lopsided = estimate(0.0, np.array([0.0] * 99 + [1.0]), 10)
    assert lopsided.low <= 0 <= lopsided.high
