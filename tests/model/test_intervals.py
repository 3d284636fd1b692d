"""Which intervals sound together and follow each other: what is counted, and that songs can be drawn to it."""

from __future__ import annotations

import math

import pytest
import torch

from mp3net.model.mp3net2.harmony import MIDDLE_HZ, octaves_of_bins
from mp3net.model.mp3net2.intervals import NUM_INTERVALS, WIDEST, interval_profile, strengths
from tests.model.small_networks import noise
from tests.model.test_harmony import AUDIO, heard


def of_middle(*semitones: int) -> list[float]:
    """Frequencies so many semitones above the middle C."""
    return [MIDDLE_HZ * 2 ** (semitone / 12) for semitone in semitones]


def shares(features: torch.Tensor, lag: int) -> torch.Tensor:
    """The shares of pairs by interval, the widest downward one first."""
    return interval_profile(features, AUDIO, (lag,))[0, 0].square() - 1e-3


def test_it_is_what_the_definition_says():
    features = noise(2, 9, 6, 1, 256).float()
    found = interval_profile(features, AUDIO, (0, 3))
    assert found.shape == (2, 2, NUM_INTERVALS)
    octaves, weight = octaves_of_bins(features, AUDIO, 100.0, 800.0)
    assert octaves.shape[2] == 37 - 5
    semitones = range(-17, 21)  # 100 to 800 Hz, from the middle C
    a = [
        [
            sum(
                w**8 * max(0.0, 1 - abs(12 * p - semitone))
                for p, w in zip(octaves[1, t].tolist(), weight[1, t].tolist(), strict=True)
            )
            for semitone in semitones
        ]
        for t in range(8)
    ]
    for number, lag in ((0, 0), (1, 3)):
        total = sum(sum(a[t]) * sum(a[t + lag]) for t in range(8 - lag))
        for interval in (-24, -7, 0, 2, 19):
            pairs = sum(
                a[t][p] * a[t + lag][p + interval]
                for t in range(8 - lag)
                for p in range(len(semitones))
                if 0 <= p + interval < len(semitones)
            )
            expected = math.sqrt(pairs / (total + 0.01) + 0.001)
            assert float(found[1, number, WIDEST + interval]) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("chord", [(0, 7, 14), (0, 4, 7), (0, 2), (12, 14)])
def test_a_chord_has_its_intervals_both_ways(chord):
    """Also a second: where a bin is wider than a semitone, how the phase turns tells two tones apart."""
    found = shares(heard(of_middle(*chord))[:, 4:-4], 0)
    torch.testing.assert_close(found, found.flip(0), atol=1e-6, rtol=1e-4)
    up = found[WIDEST:]
    there = {high - low for low in chord for high in chord if high >= low}
    others = [float(up[interval]) for interval in range(WIDEST + 1) if not {interval - 1, interval, interval + 1} & there]
    assert min(float(up[interval]) for interval in there) > 5 * max(others)
    assert int(up.argmax()) == 0
    assert float(up[0]) == pytest.approx(1 / len(chord), abs=0.17)


def test_a_step_is_heard_after_its_lag_and_in_its_direction():
    """A fourth upwards after 8 frames."""
    low, high = heard(of_middle(0)), heard(of_middle(5))
    step = torch.cat([low[:, 8:16], high[:, 8:16]], 1)
    up, held, down = WIDEST + 5, WIDEST, WIDEST - 5
    found = shares(step, 8)
    assert float(found[up]) > 0.6
    assert float(found[down] + found[held]) < 0.05
    assert float(shares(step, 0)[[up, down]].max()) < 0.05


def test_strengths_are_of_semitones_from_the_lowest():
    found = strengths(heard(of_middle(4)), AUDIO)[0, 8:-8].mean(0)
    assert int(found.argmax()) == 17 + 4
    assert float(found.max()) > 0.7 * float(found.sum())


def test_slopes_are_finite_in_silence():
    silent = torch.zeros(1, 20, 6, 1, 256, requires_grad=True)
    interval_profile(silent, AUDIO, (0, 8)).sum().backward()
    assert bool(silent.grad.isfinite().all())
    assert float(silent.grad.abs().max()) < 1e-3
    other = noise(1, 6, 6, 1, 256).double()[..., :40].requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: interval_profile(x, AUDIO, (0, 2)), other, fast_mode=True, atol=1e-4)
