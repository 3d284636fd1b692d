"""How levels move: what is counted, and that songs can be drawn to it."""

from __future__ import annotations

import math

import pytest
import torch

from mp3net.model.mp3net2.movement import movement_profile
from tests.model.small_networks import source


def falling(ripple_db: float, num_frames: int = 256) -> torch.Tensor:
    """Levels (1, T, 8) of notes of 16 frames that fall by 0.03 per frame, with a ripple of 8 frames."""
    frames = torch.arange(num_frames, dtype=torch.float64)
    level = 2 - 0.03 * (frames % 16)
    ripple = 0.3 * math.log(10) / 10 * ripple_db * torch.sin(2 * math.pi * frames / 8)
    return (level + ripple)[None, :, None].expand(1, -1, 8)


def test_it_is_what_the_definition_says():
    level = torch.rand(2, 40, 5, dtype=torch.float64, generator=source())
    found = movement_profile(level, (1, 7))
    assert found.shape == (2, 2, 2, 5)
    for number, lag in enumerate((1, 7)):
        step = (level[:, lag:] - level[:, :-lag]).numpy()
        counted = step**2 / (step**2 + 0.04)
        for direction, mask in enumerate((step > 0, step < 0)):
            expected = torch.from_numpy((counted * mask).mean(1))
            torch.testing.assert_close(found[:, number, direction], expected)


def test_notes_that_only_fall_rise_when_they_begin_alone():
    steady, rippling = (movement_profile(falling(db), (1, 4)) for db in (0.0, 1.5))
    # One frame in sixteen begins a note, by 0.45.
    assert float(steady[0, 0, 0, 0]) == pytest.approx(0.45**2 / (0.45**2 + 0.04) * 15 / 255, rel=1e-9)
    assert float(steady[0, 0, 1, 0]) == pytest.approx(0.03**2 / (0.03**2 + 0.04) * 240 / 255, rel=1e-9)
    assert (rippling[0, :, 0, 0] > 1.15 * steady[0, :, 0, 0]).all()


def test_large_steps_count_once():
    level = torch.zeros(1, 11, 1, dtype=torch.float64)
    level[:, 5:] = 50.0
    assert float(movement_profile(level, (1,))[0, 0, 0, 0]) == pytest.approx(0.1, rel=1e-3)


def test_slopes_are_finite_in_silence():
    level = torch.zeros(1, 20, 3, dtype=torch.float64, requires_grad=True)
    movement_profile(level, (1, 2)).sum().backward()
    assert torch.equal(level.grad, torch.zeros_like(level))
    other = torch.rand(1, 12, 3, dtype=torch.float64, generator=source()).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: movement_profile(x, (1, 3)), other)
