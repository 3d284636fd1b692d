"""Keys as channels, and how pitches fit them, against slow formulas and tones of known pitch."""

from __future__ import annotations

import cmath
import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

from mp3net.config import AudioConfig
from mp3net.dsp import keys
from mp3net.dsp.mdct import mdct
from mp3net.model.mp3net2.front_end import FrontEnd
from mp3net.model.mp3net2.harmony import MIDDLE_HZ, key_channels, octaves_of_bins, pitch_profile, transposed
from tests.model.small_networks import noise

AUDIO = AudioConfig(sample_rate_hz=11008, channels=1, num_bins=256)
UPTO = np.array([0.1, 0.1, 0.6, 1.0], np.float32)


@pytest.mark.parametrize(("place", "key"), [(0.05, 0), (0.11, 2), (0.59, 2), (0.61, 3), (0.999, 3), (1e-9, 0)])
def test_normal_numbers_stand_for_keys(place, key):
    z = float(norm.ppf(place))
    expected = np.eye(4)[key]
    np.testing.assert_array_equal(keys.key_channels(z, UPTO), expected)
    np.testing.assert_array_equal(key_channels(torch.tensor([z, 0.0]), torch.from_numpy(UPTO))[0], expected)


def test_extreme_numbers_have_keys_and_even_ones_are_equally_frequent():
    far = torch.tensor([-40.0, 40.0])
    assert key_channels(far, torch.from_numpy(UPTO)).argmax(1).tolist() == [0, 3]
    assert [keys.key_channels(float(z), UPTO).argmax() for z in far] == [0, 3]
    channels = key_channels(torch.randn(6000, generator=torch.Generator().manual_seed(0)), torch.from_numpy(keys.evenly(12)))
    assert channels.sum(0).min() > 420
    assert channels.sum(0).max() < 580
    assert torch.equal(channels.sum(1), torch.ones(6000))


def heard(frequencies_hz: list[float], seconds: float = 1.5) -> torch.Tensor:
    """The front-end's features of steady tones."""
    time = np.arange(round(seconds * 43) * 256) / 11008
    sound = sum(0.1 * np.sin(2 * np.pi * hz * time + number) for number, hz in enumerate(frequencies_hz))
    return FrontEnd(AUDIO, -12.0)(mdct(torch.from_numpy(sound).float()[None, None], 256, edges="crop"))


@pytest.mark.parametrize("hz", [261.6256, 440.0, 451.3, 1000.0])
def test_the_turn_of_a_phase_tells_the_pitch(hz):
    octaves, weight = octaves_of_bins(heard([hz]), AUDIO)
    loudest = weight[:, 4:-4].mean(1).argmax()
    found = octaves[0, 4:-4, loudest].median()
    assert float(found) == pytest.approx(math.log2(hz / MIDDLE_HZ), abs=2e-3)


def test_profile_is_the_sum_of_turned_weights():
    features = noise(2, 5, 6, 1, 256).float()
    found = pitch_profile(features, AUDIO, 12)
    assert found.shape == (2, 12, 2)
    octaves, weight = octaves_of_bins(features, AUDIO)
    assert octaves.shape == weight.shape == (2, 4, 139 - 10)
    for song, m in ((0, 1), (1, 5), (1, 12)):
        total = sum(
            float(w) * cmath.exp(2j * math.pi * m * float(p))
            for w, p in zip(weight[song].flatten(), octaves[song].flatten(), strict=True)
        )
        expected = total / (float(weight[song].sum()) + 0.01)
        assert complex(*found[song, m - 1].tolist()) == pytest.approx(expected, abs=1e-5)


def test_scales_are_fifths_and_transposing_leads_them_back():
    """The scale of C, and that of E flat, three semitones higher: the same once turned back by three steps."""
    steps = np.array([0, 2, 4, 5, 7, 9, 11])
    low, high = (pitch_profile(heard([MIDDLE_HZ * 2 ** ((step + up) / 12) for step in steps]), AUDIO, 12) for up in (0, 3))
    power = low.square().sum(-1)[0]
    assert power[[4, 6]].min() > 2 * power[[0, 1, 2, 3, 5, 7, 8, 9, 10]].max()
    assert power[11] > 0.08
    away = (transposed(high.expand(12, -1, -1), torch.eye(12)) - low).norm(dim=(1, 2))
    assert away.argmin() == 3
    assert away[3] < 0.7 * away[[n for n in range(12) if n != 3]].min()
    torch.testing.assert_close(transposed(low, torch.eye(12)[[0]]), low)
