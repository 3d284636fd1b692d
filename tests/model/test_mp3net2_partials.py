"""The second family's head: from slow amplitudes of partials to coefficients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mp3net.config import PRESETS, override
from mp3net.dsp import tables
from mp3net.dsp.partials import clock, render
from mp3net.model.build import build_generator
from mp3net.model.mp3net2 import generator as generator_module
from mp3net.model.mp3net2.generator import expanded
from tests.model.small_networks import CONFIG, MODEL, networks, noise, source, with_phases


def test_the_head_of_partials_and_the_levels_of_the_bins():
    config = CONFIG.model_copy(update={"model": MODEL.model_copy(update={"partials_per_bin": 3})})
    plain, rich = networks(), networks(config)
    levels = torch.linspace(0.1, 2, 16)
    z = noise(2, MODEL.latent_size(16))
    for made in (plain, rich):
        before = made.generator(z)
        made.calibrate(levels)
        torch.testing.assert_close(made.generator(z), before * levels)
        assert torch.equal(made.discriminator.front_end.bin_levels, levels.double())
    numbers: list[torch.Tensor] = []
    rich.generator.to_bins.register_forward_hook(lambda module, inputs, output: numbers.append(output))
    made_ = rich.generator(z)
    amplitudes = numbers[0].reshape(2, 16, 2, 2, 16, 3)  # tracks, frames, channels, real and imaginary, bins, partials
    for channel in range(2):
        torch.testing.assert_close(made_[:, channel], levels * render(expanded(amplitudes[:, :, channel])))


@pytest.mark.parametrize(
    ("per_bin", "hold", "room_for", "at_a_time"),
    [(1, 1, 15, 12), (3, 1, 23, 12), (3, 2, 11, 6), (2, 4, 3, 2), (1, 4, 1, 1)],
)
def test_rendering_a_few_frames_at_a_time_does_not_show(per_bin, hold, room_for, at_a_time, monkeypatch):
    """As many whole periods of the clock as there is room for, at least one."""
    generator = networks(with_phases(32, per_bin, hold)).generator
    z = noise(2, generator.config.latent_size(40))
    at_once = generator(z)
    assert at_once.shape == (2, 2, 40, 16)
    pieces: list[int] = []
    generator.to_bins.register_forward_hook(lambda module, inputs, output: pieces.append(output.shape[1]))
    monkeypatch.setattr(generator_module, "NUMBERS_RENDERED", room_for * len(generator.to_bins.bias))
    torch.testing.assert_close(generator(z), at_once, atol=1e-12, rtol=0)
    assert pieces[0] == at_a_time
    assert sum(pieces) == (40 if hold == 1 else 40 // hold + 2)


def test_held_amplitudes_need_no_levels_beyond_their_own():
    """The generator's last level has a frame for every amplitude; the first and the last one go on to the ends."""
    generator = networks(with_phases(hold_frames=2)).generator
    assert len(generator.levels) == len(MODEL.level_frames) - 1
    assert generator.config.part_size < MODEL.part_size
    outputs: list[torch.Tensor] = []
    generator.to_bins.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    z = noise(2, generator.config.latent_size(40))
    made = generator(z)
    assert outputs[0].shape[:2] == (2, 22)
    assert torch.equal(outputs[0][:, 0], outputs[0][:, 1])
    assert torch.equal(outputs[0][:, -1], outputs[0][:, -2])
    amplitudes = expanded(outputs[0].reshape(2, 22, 2, 2, 16, 3).transpose(1, 2))
    angles = generator._angles(z[:, MODEL.global_dim : MODEL.global_dim + 32])
    turns = clock(22, amplitudes[:, :, :, 0], angles, 2, first=-1)
    torch.testing.assert_close(made, render(amplitudes, turns=turns, hold_frames=2)[..., 3:-3, :], atol=1e-12, rtol=0)


@pytest.mark.parametrize("hold", [1, 2, 4])
def test_fresh_generators_have_the_level_of_the_data(hold):
    config = override(PRESETS["mp3net2-nano"], [f"model.hold_frames={hold}"])
    generator = build_generator(config)
    generator.initialise(source(1))
    with torch.no_grad():
        power = float(generator(noise(8, config.model.latent_size(64)).float()).square().mean())
    assert -5 < 10 * math.log10(power) < 3


def test_the_latent_of_the_phases_turns_partials_and_does_nothing_else(monkeypatch):
    generator = networks(with_phases()).generator
    z = noise(2, generator.config.latent_size(40))
    other = z.clone()
    other[:, MODEL.global_dim : MODEL.global_dim + 32] = noise(2, 32, seed=5)
    outputs: list[torch.Tensor] = []
    generator.to_bins.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    made = [generator(z), generator(other)]
    assert torch.equal(*outputs)
    assert (made[0] - made[1]).std() > 0.5 * made[0].std()
    turns = torch.from_numpy(2 * np.random.RandomState(0).standard_normal((32, 48)))
    amplitudes = expanded(outputs[0].reshape(2, 40, 2, 2, 16, 3).transpose(1, 2))
    for latent, coefficients in zip((z, other), made, strict=True):
        angle = (latent[:, MODEL.global_dim : MODEL.global_dim + 32] @ turns).view(2, 1, 1, 16, 3)
        both = torch.complex(amplitudes[..., 0, :, :], amplitudes[..., 1, :, :]) * torch.exp(1j * angle)
        torch.testing.assert_close(coefficients, render(torch.stack([both.real, both.imag], 3)))
    monkeypatch.setattr(generator_module, "NUMBERS_RENDERED", 12 * len(generator.to_bins.bias))
    torch.testing.assert_close(generator(z), made[0], atol=1e-12, rtol=0)


def test_phases_are_uniform_and_independent():
    """Over tracks, every phase is uniform, and so is the difference of every pair: both mean exp(j phase) vanish."""
    turns = torch.from_numpy(tables.phase_turns(256, 8, 32))
    assert turns.shape == (32, 2048)
    alone = turns.square().sum(0)  # variances of normal phases: |mean exp(j phase)| = exp(-variance / 2)
    pairs = torch.cdist(turns.T, turns.T).square() + 1e9 * torch.eye(2048)
    assert float(torch.exp(-alone.min() / 2)) < 1e-9
    assert float(torch.exp(-pairs.min() / 2)) < 1e-9


def test_small_amplitudes_get_quiet_and_large_ones_do_not_run_away():
    z = torch.tensor([[0.6, 0.0, 0.0, 300.0], [0.8, 0.1, 0.0, 400.0]], dtype=torch.float64)[:, None]
    made = expanded(z)[:, 0]
    # |z| -> 0.3 |z| (|z|^2 + 1e-3) / (1 + |z|^2 / 16): 1 -> 0.28264, 0.1 -> 0.00032979, 500 -> 500 x 4.8
    assert (made[0, 0] / made[1, 0]).item() == pytest.approx(0.75)
    expected = torch.tensor([0.2826353, 0.00032979, 0.0, 2399.848], dtype=torch.float64)
    torch.testing.assert_close(made.square().sum(0).sqrt(), expected, rtol=1e-4, atol=1e-12)
    assert torch.autograd.gradcheck(expanded, torch.zeros(2, 1, 3, dtype=torch.float64).requires_grad_(True))
