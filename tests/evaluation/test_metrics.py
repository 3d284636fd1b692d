"""Metrics computed from made-up features, in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from mp3net.evaluation.metrics import FAMILIES, Family


def family(name: str) -> Family:
    return next(family for family in FAMILIES if any(metric.name == name for metric in family.metrics))


def measured(name: str, reference: np.ndarray, candidate: np.ndarray) -> tuple[float, float]:
    """Value and deviation of a metric whose features are given."""
    chosen = family(name)
    measure = chosen.build({chosen.needs: reference}, {chosen.needs: candidate})
    return measure(np.arange(len(reference)), np.arange(len(candidate)))[name]


def test_per_clip_metrics_see_the_mean_and_the_spread():
    real = np.array([0.1, 0.2, 0.3, 0.4])
    assert measured("tonality", real, real + 0.5) == pytest.approx((0.75, 0.5))
    assert measured("tonality", real, np.full(4, 0.25)) == pytest.approx((0.25, 0.1))
    assert measured("tonality", real, real[::-1]) == pytest.approx((0.25, 0))


def test_level_error_counts_both_signs():
    real = np.full((3, 4), 1e-4)
    candidate = real * np.array([10.0, 0.1, 10.0, 0.1])
    assert measured("level_error_db", real, candidate)[0] == pytest.approx(10)
    # Levels are those of the whole set: one loud clip of four makes up for three silent ones.
    uneven = np.zeros((4, 4))
    uneven[0] = 4e-4
    assert measured("level_error_db", real, uneven)[0] == pytest.approx(0, abs=1e-9)


def test_less_likeness_than_real_is_no_fault():
    real = np.array([0.5, 0.6, 0.7])
    assert measured("dc", real, real - 0.4) == pytest.approx((0.2, 0))
    assert measured("similarity", real, real - 0.4) == pytest.approx((0.2, 0))
    assert measured("similarity", real, real + 0.3) == pytest.approx((0.9, 0.3))
    assert measured("copied_share", np.array([0.0, 0.0, 1.0]), np.array([1.0, 1.0, 1.0])) == pytest.approx((1, 2 / 3))


def test_diversity_is_relative_to_real():
    points = np.random.default_rng(0).standard_normal((50, 6))
    for name in ("pairwise_distance", "nearest_distance"):
        assert measured(name, points, 3 + 0.5 * points) == pytest.approx((0.5, 0.5))
    pairs = np.array([[0.0], [1.0], [3.0], [7.0]])
    distances = [1, 3, 7, 2, 6, 4]
    assert measured("pairwise_distance", pairs, 2 * pairs)[0] == pytest.approx(2)
    other = np.array([[0.0], [0.0], [0.0], [1.0]])
    assert measured("pairwise_distance", pairs, other)[0] == pytest.approx(0.5 / np.mean(distances))
    # Nearest distances of `pairs` are 1, 1, 2, 4, of which 1.5 is the median; those of `other` are 0, 0, 0, 1.
    assert measured("nearest_distance", pairs, other + 0)[0] == pytest.approx(0)
    assert measured("nearest_distance", pairs, np.array([[0.0], [3.0], [6.0], [9.0]]))[0] == pytest.approx(3 / 1.5)


def test_checkerboard_deviation_is_the_excess_over_real():
    flat, line = np.ones((2, 129)), np.ones((2, 129))
    line[:, 32] = 10
    assert measured("checkerboard_db", flat, line) == pytest.approx((10, 10))
    assert measured("checkerboard_db", line, line) == pytest.approx((10, 0))


def test_embedding_metrics_of_equal_and_of_far_sets():
    points = np.random.default_rng(0).standard_normal((64, 5))
    expected = {"frechet_logmel": 0, "density_logmel": 1, "coverage_logmel": 1}
    for name, value in expected.items():
        found = measured(name, points, points)
        assert found[0] == pytest.approx(value, abs=0.4)
    far = points + 100
    assert measured("frechet_logmel", points, far)[1] == pytest.approx(5 * 100**2)
    assert measured("coverage_logmel", points, far) == (0, 1)
    assert measured("density_logmel", points, far) == (0, 1)
    assert measured("kernel_logmel", points, far)[1] > 100


def test_histograms_are_summed_over_clips():
    real = np.eye(12)
    assert measured("pitch_class_distance", real, np.ones((3, 12)))[0] == pytest.approx(0, abs=1e-7)
    assert measured("interval_distance", np.eye(12)[:1], np.eye(12)[1:2]) == pytest.approx((1, 1))
