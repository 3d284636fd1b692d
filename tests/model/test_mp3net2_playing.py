"""The head without gradients against the head with them."""

from __future__ import annotations

import pytest
import torch

from mp3net.config import AudioConfig
from mp3net.model.mp3net2 import playing
from tests.model.small_networks import CONFIG, networks, noise, with_phases


@pytest.mark.parametrize("num_bins", [16, 36, 64, 100])
@pytest.mark.parametrize("phase_dim", [0, 32])
def test_it_makes_the_same(num_bins, phase_dim, monkeypatch):
    config = with_phases(phase_dim).model_copy(update={"audio": AudioConfig(sample_rate_hz=8000, num_bins=num_bins)})
    generator = networks(config).generator
    with torch.no_grad():
        generator.to_bins.bias.normal_(generator=torch.Generator().manual_seed(3))
        generator.to_bins.weight[: num_bins * 3] *= 0.01  # amplitudes that are hardly expanded, too
    z = noise(3, config.model.latent_size(40))
    plain = generator(z).detach()
    for numbers in (1, 2**12, 2**19):
        monkeypatch.setattr(playing, "NUMBERS_ON_CPU", numbers)
        with torch.inference_mode():
            torch.testing.assert_close(generator(z), plain, atol=1e-11, rtol=0)
            opening = generator.open(z)
            torch.testing.assert_close(generator.section(opening, 17, 30), plain[:, :, 17:30], atol=1e-11, rtol=0)


def test_in_bfloat16_it_is_as_exact_as_the_plain_head():
    generator = networks(with_phases()).generator.float()
    z = noise(2, generator.config.latent_size(400)).float()
    exact = generator(z).detach()
    with torch.autocast("cpu", torch.bfloat16):
        plain = generator(z).detach()
        with torch.inference_mode():
            fast = generator(z)
    assert fast.dtype == torch.float32
    errors = [float((made - exact).square().mean() / exact.square().mean()) ** 0.5 for made in (plain, fast)]
    assert 1e-4 < errors[1] < 1.1 * errors[0] < 0.1


def test_networks_without_partials_need_none_of_it():
    generator = networks(CONFIG).generator
    z = noise(1, CONFIG.model.latent_size(16))
    with torch.inference_mode():
        made = generator(z)
    torch.testing.assert_close(made, generator(z).detach(), atol=1e-12, rtol=0)
