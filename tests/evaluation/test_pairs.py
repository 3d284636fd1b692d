"""The blind pair test guesses between equals, tells different sets apart, and knows no recording from its lessons."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mp3net.evaluation.embeddings import log_mel_db
from mp3net.evaluation.pairs import CHANCE, FOLDS, PairTest, divided, excerpts, mistakes
from tests.recordings import piece

RATE = 11008
BANDS, FRAMES = 10, 14


def sounds(seed: int, units: int, each: int, spread: float = 0.0, tilt: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Excerpts (n, 2, bands, frames) of random levels; units differ by `spread`, and `tilt` raises the upper bands."""
    random = np.random.default_rng(seed)
    own = spread * random.standard_normal((units, 1, 1, BANDS, FRAMES)).repeat(each, 1)
    levels = own + random.standard_normal((units, each, 2, BANDS, FRAMES)) + tilt * np.linspace(-1, 1, BANDS)[:, None]
    return levels.reshape(-1, 2, BANDS, FRAMES), np.arange(units).repeat(each)


def error(real: tuple[np.ndarray, np.ndarray], judged: tuple[np.ndarray, np.ndarray], seeds: int = 1) -> float:
    test = PairTest(*real, *judged, seeds=seeds)
    return test.error(np.arange(len(real[0])), np.arange(len(judged[0])))


def test_excerpts_are_seconds_without_overlap_from_end_to_end():
    clip = np.ascontiguousarray(piece(5.9, RATE, 3, channels=2).T)[None]
    levels = excerpts(clip, RATE)["levels"]
    assert levels.shape[:3] == (1, 5, 40)
    assert levels.shape[-1] == pytest.approx(RATE / 256, abs=1)  # hops of 23 ms
    whole = log_mel_db(torch.from_numpy(clip), RATE)[0].numpy()
    np.testing.assert_allclose(levels[0, 0, :, 0], whole[:, :2].mean(1), rtol=1e-5)
    last = whole.shape[-1] // 2 * 2
    np.testing.assert_allclose(levels[0, -1, :, -1], whole[:, last - 2 : last].mean(1), rtol=1e-5)


@pytest.mark.parametrize(("seconds", "count"), [(0.6, 1), (1.49, 1), (2.1, 2), (30.0, 6)])
def test_number_of_excerpts(seconds, count):
    assert excerpts(np.zeros((2, 1, int(seconds * RATE)), np.float32), RATE)["levels"].shape[:2] == (2, count)


def test_mistakes_are_pairs_in_the_wrong_order():
    real, judged = np.array([[1.0, 2.0], [5.0, 6.0]]), np.array([[0.0, 2.0]])
    # Of the four pairs of the first real clip, (1, 2) is wrong and (2, 2) a tie.
    np.testing.assert_array_equal(mistakes(real, judged), [[1.5 / 4], [0.0]])


def test_units_are_dealt_to_folds_whole():
    units = np.arange(10).repeat(3)
    folds = divided(units, np.random.default_rng(0))
    assert all(len(set(folds[units == unit])) == 1 for unit in range(10))
    assert sorted(np.bincount(folds).tolist()) == [6, 6, 9, 9]
    few = divided(np.zeros(8, int), np.random.default_rng(0))
    np.testing.assert_array_equal(np.bincount(few), [8 // FOLDS] * FOLDS)


def test_equals_are_guessed_and_strangers_found():
    real = sounds(0, 16, 4)
    assert error(real, sounds(1, 64, 1)) == pytest.approx(CHANCE, abs=0.06)
    assert error(real, sounds(1, 64, 1, tilt=0.3)) == pytest.approx(0.15, abs=0.1)
    assert error(real, sounds(1, 64, 1, tilt=1.0)) < 0.01


def test_recordings_are_not_recognised():
    """Recordings that differ much, and songs of the same kind: whoever has learned a recording knows its other clips."""
    real, judged = sounds(0, 12, 6, spread=1.0), sounds(1, 72, 1, spread=1.0)
    assert 0.4 < error(real, judged) < 0.75  # what was learned of a few recordings misleads about others
    leaking = (real[0], np.arange(len(real[0])))
    assert error(leaking, judged) < 0.3


def test_same_sets_same_outcome_and_choices_are_means_over_clips():
    real, judged = sounds(0, 8, 4), sounds(1, 32, 1, tilt=0.3)
    test, again = PairTest(*real, *judged, seeds=2), PairTest(*real, *judged, seeds=2)
    np.testing.assert_array_equal(test.wrong, again.wrong)
    assert len(test.by_seed) == 2
    assert test.error(np.arange(32), np.arange(32)) == pytest.approx(np.mean(test.by_seed), abs=0.02)
    some, others = np.arange(8), np.arange(5, 20)
    expected = test.wrong[:8, 5:20].sum() / test.asked[:8, 5:20].sum()
    assert test.error(some, others) == expected
