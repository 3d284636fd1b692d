"""Clocks of beats, against their formula; songs that begin later go on with the beat."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

from mp3net.dsp.beats import Beat, in_time
from mp3net.model.mp3net2.meter import Beats

QUANTILES = np.array([10.0, 20.0, 20.0, 25.0, 40.0], np.float32)


@pytest.mark.parametrize("z", [-9.0, -1.3, 0.0, 0.4, 2.0, 9.0])
def test_normal_numbers_stand_for_quantiles(z):
    beat = Beat.of(np.array([z, -z], np.float32), QUANTILES)
    place = norm.cdf(z) * 4
    low = min(int(place), 3)
    expected = QUANTILES[low] ** (1 - (place - low)) * QUANTILES[low + 1] ** (place - low)
    assert beat.bar_frames == pytest.approx(4 * expected, rel=1e-5)
    assert beat.begin == pytest.approx(norm.cdf(-z), abs=1e-7)
    assert beat.tempo == pytest.approx(math.log(expected / 20.0), abs=1e-5)


def test_clocks_go_round_twice_as_fast_each_and_too_fast_ones_are_silent():
    beat = Beat(bar_frames=64.0, begin=0.25, tempo=0.5)
    heard = beat.clocks(4, (3, 9), hops=4)
    assert heard.shape == (6, 9)
    assert heard.dtype == np.float32
    for row, frame in enumerate(range(3, 9)):
        bars = (frame + 0.5) * 4 / 64 + 0.25
        for clock in range(4):
            loud = max(0.0, 1 - 4 * (2**clock * 4 / 64) ** 2)
            angle = 2 * math.pi * 2**clock * bars
            assert heard[row, clock] == pytest.approx(loud * math.cos(angle), abs=1e-6)
            assert heard[row, 4 + clock] == pytest.approx(loud * math.sin(angle), abs=1e-6)
    assert np.all(heard[:, 8] == 0.5)
    assert not heard[:, 3].any()  # an eighth of a bar is 8 frames of the song, two of the level's
    assert heard[:, 2].any()


def test_a_song_that_begins_later_goes_on_with_the_beat():
    latent = np.array([0.7, -0.3], np.float32)
    own = Beat.of(latent, QUANTILES)
    rest = in_time(latent, QUANTILES, 0, float(own.bars(np.array(80))))
    np.testing.assert_allclose(
        Beat.of(rest, QUANTILES).clocks(3, (0, 20), hops=2), own.clocks(3, (40, 60), hops=2), atol=1e-4
    )
    assert rest.dtype == np.float32
    moved = Beat.of(in_time(latent, QUANTILES, 30, 7.625), QUANTILES)
    assert float(moved.bars(np.array(30))) % 1 == pytest.approx(0.625, abs=1e-6)
    assert moved.bar_frames == own.bar_frames
    on_the_bar = in_time(latent, np.full(5, 20.0, np.float32), 40, 3.5)
    assert np.isfinite(on_the_bar).all()
    assert abs((Beat.of(on_the_bar, QUANTILES).begin + 0.5) % 1 - 0.5) < 1e-5


def test_batches_have_the_same_clocks():
    latents = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    beats = Beats.of(latents, torch.from_numpy(QUANTILES))
    found = beats.clocks(4, 7, 100, hops=4).numpy()
    for song, latent in enumerate(latents.numpy()):
        np.testing.assert_allclose(found[song], Beat.of(latent, QUANTILES).clocks(4, (7, 100), 4), atol=2e-5)
    far = Beats.of(latents, torch.from_numpy(QUANTILES)).clocks(4, 40_000, 40_010, hops=4).numpy()
    np.testing.assert_allclose(far[0], Beat.of(latents[0].numpy(), QUANTILES).clocks(4, (40_000, 40_010), 4), atol=0.03)
