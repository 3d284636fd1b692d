"""Where in its bin a partial sounds: what is counted, by the physics, and that songs can be drawn to it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mp3net.config import AudioConfig
from mp3net.dsp.mdct import mdct
from mp3net.model.mp3net2.front_end import FrontEnd
from mp3net.model.mp3net2.tuning import tuning_profile
from tests.model.small_networks import noise

AUDIO = AudioConfig(sample_rate_hz=11008, channels=1, num_bins=256)
BIN_HZ = 21.5
# Three of its 16 bins are below 800 Hz.
COARSE = AudioConfig(sample_rate_hz=8000, channels=1, num_bins=16)


@pytest.mark.parametrize("tone_hz", [98.0, 104.0, 440.0])
def test_a_tone_has_the_harmonics_of_its_place_in_the_bin(tone_hz):
    time_s = torch.arange(2 * 11008) / 11008
    sound = 0.1 * torch.sin(2 * math.pi * tone_hz * time_s)
    features = FrontEnd(AUDIO)(mdct(sound[None, None], 256, AUDIO.window, edges="crop"))
    number = int(tone_hz / BIN_HZ)
    profile = tuning_profile(features, AUDIO, 5)[0, :, :, number]
    turn = math.pi * (tone_hz / BIN_HZ - number - 0.5)
    weight = float(features[0, 1:, 0, 0, number].mean())
    for n in range(1, 6):
        expected = [weight * math.cos(n * turn), weight * math.sin(n * turn)]
        # The first frame has none before it.
        np.testing.assert_allclose(profile[n - 1].numpy(), expected, atol=0.02 * weight)


def test_it_is_what_the_definition_says():
    features = noise(2, 9, 6, 2, 16).double()
    found = tuning_profile(features, COARSE, 3)
    assert found.shape == (2, 3, 2, 3)
    turns = torch.complex(features[:, :, 3], features[:, :, 4]).numpy()[..., :3]
    for n in (1, 2, 3):
        expected = (np.abs(turns) * np.exp(1j * n * np.angle(turns))).mean((1, 2))
        np.testing.assert_allclose(found[:, n - 1, 0].numpy(), expected.real, atol=1e-6)
        np.testing.assert_allclose(found[:, n - 1, 1].numpy(), expected.imag, atol=1e-6)


def test_slopes_are_right_and_finite_in_silence():
    silence = torch.zeros(1, 5, 6, 1, 4, dtype=torch.float64, requires_grad=True)
    tuning_profile(silence, COARSE, 8).sum().backward()
    assert bool(torch.isfinite(silence.grad).all())
    features = noise(1, 5, 6, 1, 4).double().requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: tuning_profile(x, COARSE, 3), features)
