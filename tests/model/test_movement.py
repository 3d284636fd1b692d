"""How levels move: what is counted, and that songs can be drawn to it."""

from __future__ import annotations

import math

import pytest
import torch

from mp3net.config import AudioConfig
from mp3net.dsp.mdct import mdct
from mp3net.model.mp3net2.front_end import FrontEnd
from mp3net.model.mp3net2.movement import loudness_profile, movement_profile, steps
from tests.model.small_networks import source


def falling(ripple_db: float, num_frames: int = 256) -> torch.Tensor:
    """Levels (1, T, 8) of notes of 16 frames that fall by 0.03 per frame, with a ripple of 8 frames."""
    frames = torch.arange(num_frames, dtype=torch.float64)
    level = 2 - 0.03 * (frames % 16)
    ripple = 0.3 * math.log(10) / 10 * ripple_db * torch.sin(2 * math.pi * frames / 8)
    return (level + ripple)[None, :, None].expand(1, -1, 8)


def test_it_is_what_the_definition_says():
    level = torch.rand(2, 40, 5, dtype=torch.float64, generator=source())
    found = steps(level, (1, 7), 0.2)
    assert found.shape == (2, 2, 2, 5)
    for number, lag in enumerate((1, 7)):
        step = (level[:, lag:] - level[:, :-lag]).numpy()
        counted = step**2 / (step**2 + 0.04)
        for direction, mask in enumerate((step > 0, step < 0)):
            expected = torch.from_numpy((counted * mask).mean(1))
            torch.testing.assert_close(found[:, number, direction], expected)


def test_notes_that_only_fall_rise_when_they_begin_alone():
    steady, rippling = (steps(falling(db), (1, 4), 0.2) for db in (0.0, 1.5))
    # One frame in sixteen begins a note, by 0.45.
    assert float(steady[0, 0, 0, 0]) == pytest.approx(0.45**2 / (0.45**2 + 0.04) * 15 / 255, rel=1e-9)
    assert float(steady[0, 0, 1, 0]) == pytest.approx(0.03**2 / (0.03**2 + 0.04) * 240 / 255, rel=1e-9)
    assert (rippling[0, :, 0, 0] > 1.15 * steady[0, :, 0, 0]).all()


def test_large_steps_count_once():
    level = torch.zeros(1, 11, 1, dtype=torch.float64)
    level[:, 5:] = 50.0
    assert float(steps(level, (1,), 0.2)[0, 0, 0, 0]) == pytest.approx(0.1, rel=1e-3)


def test_slopes_are_finite_in_silence():
    level = torch.zeros(1, 20, 3, dtype=torch.float64, requires_grad=True)
    steps(level, (1, 2), 0.2).sum().backward()
    assert torch.equal(level.grad, torch.zeros_like(level))
    other = torch.rand(1, 12, 3, dtype=torch.float64, generator=source()).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: steps(x, (1, 3), 0.1), other)


RIPPLE_HZ, RIPPLE_DB = 10.0, 3.0


def rippling_tone(db: float, gain: float) -> torch.Tensor:
    """The features of 3 s of a tone in noise, whose level as a whole swings by so many dB, with a gain of loudness."""
    audio = AudioConfig(sample_rate_hz=11008, channels=1, num_bins=256)
    time_s = torch.arange(3 * 11008) / 11008
    sound = 0.1 * torch.sin(2 * math.pi * 440 * time_s) + 0.003 * torch.randn(len(time_s), generator=source())
    sound = sound * 10 ** (db / 20 * torch.sin(2 * math.pi * RIPPLE_HZ * time_s))
    features: torch.Tensor = FrontEnd(audio, loudness_gain=gain)(mdct(sound[None, None], 256, audio.window, edges="crop"))
    return features


@pytest.mark.parametrize("gain", [1.0, 3.0])
def test_what_moves_alike_in_all_bins_is_loudness_and_hardly_movement(gain):
    """The threshold follows the tone, so that a level above it stays where it is. However much of loudness is heard."""
    steady, rippling = (rippling_tone(db, gain) for db in (0.0, RIPPLE_DB))
    tone = round(440 / 11008 * 2 * 256)
    movement, loudness = (
        [float(profile(features, (2,), *extra)[0, 0, :, tone].sum()) for features in (steady, rippling)]
        for profile, *extra in ((movement_profile,), (loudness_profile, gain))
    )
    assert movement[1] - movement[0] < 0.02
    assert loudness[0] < 0.01
    # Steps of a sine over 2 frames.
    step = 0.4 * math.log(10) / 20 * 2 * RIPPLE_DB * math.sin(math.pi * RIPPLE_HZ * 2 * 256 / 11008)
    phases = torch.arange(1000) / 1000 * 2 * math.pi
    square = (step * torch.sin(phases)).square()
    assert loudness[1] == pytest.approx(float((square / (square + 0.01)).mean()), rel=0.1)
