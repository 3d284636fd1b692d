"""How onsets follow the beat, against slow formulas; the estimate of the gap, and what it pulls."""

from __future__ import annotations

import cmath
import math

import pytest
import torch

from mp3net.model.mp3net2.gap import ProfileGap
from mp3net.model.mp3net2.meter import HARMONICS, LEAST_BINS, SILENCE, Beats, beat_profile, octaves, onsets
from tests.model.small_networks import noise, source


@pytest.mark.parametrize(
    ("num_bins", "sizes"), [(256, [8, 8, 16, 32, 64, 128]), (16, [8, 8]), (100, [6, 6, 13, 25, 50]), (4, [4])]
)
def test_bands_are_octaves(num_bins, sizes):
    assert octaves(num_bins) == sizes
    assert sum(sizes) == num_bins
    assert sizes[0] <= LEAST_BINS


def test_onsets_are_rises_of_bands_and_their_mean():
    level = noise(2, 5, 16)
    found = onsets(level)
    assert found.shape == (2, 3, 4)
    for frame in range(4):
        rise = [max(float(level[1, frame + 1, k] - level[1, frame, k]), 0.0) for k in range(16)]
        low, high = sum(rise[:8]) / 8, sum(rise[8:]) / 8
        torch.testing.assert_close(found[1, :, frame], torch.tensor([low, high, (low + high) / 2], dtype=torch.float64))


def test_profile_is_the_sum_of_turned_onsets():
    level, bars = noise(2, 9, 16).abs(), noise(2, 9, seed=1)
    found = beat_profile(level, bars)
    assert found.shape == (2, 3, HARMONICS, 2)
    rise = onsets(level)
    for song, band, m in ((0, 0, 1), (1, 2, 16), (1, 1, 5)):
        total = sum(
            float(rise[song, band, t]) * cmath.exp(-2j * cmath.pi * m * float(bars[song, t + 1])) for t in range(8)
        ) / (float(rise[song, band].sum()) + SILENCE)
        assert complex(*found[song, band, m - 1].tolist()) == pytest.approx(total, abs=1e-9)


def clicks(num_frames: int, times: list[int]) -> torch.Tensor:
    """Levels (1, T, 16) that rise at these frames and fall in the next."""
    level = torch.zeros(1, num_frames, 16, dtype=torch.float64)
    level[:, times] = 1.0
    return level


def test_four_clicks_a_bar_are_the_fourth_harmonic():
    bars = (torch.arange(320, dtype=torch.float64)[None] - 10) / 80
    found = beat_profile(clicks(320, list(range(10, 320, 20))), bars)[0, 0]
    strength = found[:, 0]
    assert strength[[3, 7, 11, 15]] == pytest.approx(1.0, abs=1e-3)
    assert strength[[0, 1, 2, 4, 5]] == pytest.approx(0.0, abs=1e-9)
    late = beat_profile(clicks(320, list(range(15, 320, 20))), bars)[0, 0]  # an eighth too late
    torch.testing.assert_close(late[3], torch.tensor([0.0, -1.0], dtype=torch.float64), atol=1e-3, rtol=0)


def test_a_wide_gap_pulls_no_more_than_the_longest():
    estimate = ProfileGap(2, 3).double()
    profile = noise(4, 2, 3).requires_grad_(True)
    for length, longest, expected in ((0.1, 0.2, 0.1), (5.0, 0.2, 0.2), (5.0, math.inf, 5.0), (0.0, 0.2, 0.0)):
        with torch.no_grad():
            estimate.scaled.copy_(length / 10 * torch.nn.functional.normalize(noise(2, 3, seed=1), dim=None))
        (slope,) = torch.autograd.grad(estimate.pull(profile, longest), profile)
        assert float(slope.sum(0).norm()) == pytest.approx(expected, abs=1e-12)


def test_the_estimate_is_the_mean_gap_and_pulls_songs_along_it():
    beat = ProfileGap(3, HARMONICS, 2).double()
    beat.recordings.copy_(0.3 * noise(*beat.recordings.shape, seed=2))
    profile = noise(6, *beat.recordings.shape, seed=3).requires_grad_()
    assert beat.gap.abs().max() == 0
    away = profile.mean(0) - beat.recordings
    (slope,) = torch.autograd.grad(beat.error(profile.detach()), beat.scaled)
    torch.testing.assert_close(slope, -2 * 10 * away.detach())
    with torch.no_grad():
        beat.scaled.copy_(away / 10)
    (slope,) = torch.autograd.grad(beat.error(profile.detach()), beat.scaled)
    assert slope.abs().max() < 1e-12
    (pull,) = torch.autograd.grad(beat.pull(profile), profile)
    (expected,) = torch.autograd.grad(away.square().sum() / 2, profile)
    torch.testing.assert_close(pull, expected)


def test_how_much_of_the_beat_is_followed():
    beat = ProfileGap(3, HARMONICS, 2).double()
    beat.recordings.copy_(noise(*beat.recordings.shape, seed=2))
    assert beat.followed(beat.recordings[None]) == pytest.approx(1.0)
    assert beat.followed(0.25 * beat.recordings[None].expand(3, -1, -1, -1)) == pytest.approx(0.25)
    assert beat.followed(torch.zeros(2, *beat.recordings.shape)) == 0.0


def test_songs_begin_anywhere_in_a_bar():
    beats = Beats.of(torch.randn(4000, 2, generator=source()), torch.tensor([10.0, 20.0, 30.0]))
    counts = torch.histc(beats.begin, 8, 0, 1)
    assert counts.min() > 420
    assert counts.max() < 580
    assert beats.bar_frames.median() == pytest.approx(80, rel=0.03)
