from __future__ import annotations

import numpy as np
import pytest
import torch

from mp3net.config import PaperModel
from mp3net.model.paper.discriminator import Discriminator
from mp3net.training.ema import EMA
from mp3net.training.objectives import wgan_gp as losses
from mp3net.training.optimiser import KerasAdam

TINY = PaperModel(base_frames=1, base_bins=2, num_blocks=1, top_channels=2, channel_cap=4, latent_dim=3)


def test_penalty_of_a_linear_critic_is_known():
    """D(x) = <w, x> has the gradient w everywhere: penalty (|w| - 1)^2."""
    w = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 2, 4, 4)))
    real, fake = torch.randn(2, 3, 2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def critic(x, batches=1):
        return (x * w).sum(dim=(1, 2, 3))

    share = torch.full((3, 1, 1, 1), 0.3, dtype=torch.float64)
    parts: list[torch.Tensor] = []
    terms = losses.discriminator_loss(critic, real, fake, share, 3.0, 0.1, parts.append)
    assert float(sum(parts)) == pytest.approx(float(terms["loss/discriminator"]), rel=1e-12)
    norm = float(w.norm())
    distance = float(critic(real).mean() - critic(fake).mean())
    drift = float((critic(real) ** 2).mean())
    assert float(terms["penalty/gradient"]) == pytest.approx((norm - 1) ** 2, rel=1e-7)
    assert float(terms["distance/wasserstein"]) == pytest.approx(distance, rel=1e-12)
    expected = -distance + 3 * (norm - 1) ** 2 + 0.1 * drift
    assert float(terms["loss/discriminator"]) == pytest.approx(expected, rel=1e-7)
    assert float(losses.generator_loss(critic(fake))) == pytest.approx(-float(critic(fake).mean()), rel=1e-12)


def test_penalty_matches_finite_differences_with_coupled_samples():
    """The gradient of the SUM of scores: through the minibatch deviation each sample moves the others' scores."""
    critic = Discriminator(TINY, 1).double()
    critic.initialise(torch.Generator().manual_seed(1))
    x = torch.randn(3, 1, 4, 4, dtype=torch.float64)
    step = 1e-6
    slopes = torch.zeros_like(x)
    for index in np.ndindex(*x.shape):
        moved = x.clone()
        moved[index] += step
        back = x.clone()
        back[index] -= step
        slopes[index] = ((critic(moved).sum() - critic(back).sum()) / (2 * step)).detach()
    expected = (slopes.square().sum(dim=(1, 2, 3)) + losses.NORM_EPSILON).sqrt()
    torch.testing.assert_close(losses.gradient_norm(critic, x).detach(), expected, rtol=1e-6, atol=1e-9)


def test_interpolation_runs_from_fake_to_real():
    real, fake = torch.full((3, 1, 1, 1), 2.0), torch.full((3, 1, 1, 1), -4.0)
    share = torch.tensor([0.0, 0.25, 1.0]).reshape(3, 1, 1, 1)
    assert losses.interpolate(real, fake, share).flatten().tolist() == [-4.0, -2.5, 2.0]


def test_keras_adam_matches_its_formula():
    rng = np.random.default_rng(2)
    gradients = rng.standard_normal((6, 4)) * [1, 1e-3, 1e-6, 1e-8]  # down to where the epsilon matters
    p, m, v = np.ones(4), np.zeros(4), np.zeros(4)
    parameter = torch.nn.Parameter(torch.ones(4, dtype=torch.float64))
    optimiser = KerasAdam([parameter], 1e-2, (0.5, 0.9))
    for t, gradient in enumerate(gradients, start=1):
        m = 0.5 * m + 0.5 * gradient
        v = 0.9 * v + 0.1 * gradient**2
        p = p - 1e-2 * np.sqrt(1 - 0.9**t) / (1 - 0.5**t) * m / (np.sqrt(v) + 1e-7)
        parameter.grad = torch.from_numpy(gradient)
        optimiser.step()
        np.testing.assert_allclose(parameter.detach().numpy(), p, rtol=1e-12)


def test_ema_half_life_and_twin():
    network = torch.nn.Linear(1, 1, bias=False)
    network.register_buffer("level", torch.zeros(1))
    torch.nn.init.zeros_(network.weight)
    ema = EMA(network, half_life_tracks=1000)
    with torch.no_grad():
        network.weight.fill_(1.0)
        network.level.fill_(5.0)
    for step in range(100):  # 1000 tracks, long after the ramp: half of the way
        ema.update(10, 1_000_000 + 10 * step)
    assert float(ema.weights["weight"]) == pytest.approx(0.5, abs=1e-5)
    assert float(ema.network(torch.ones(1))) == pytest.approx(0.5, abs=1e-5)
    assert float(network.weight.detach()) == 1.0
    assert float(ema.network.level) == 5.0, "what is no parameter is shared"
    assert not ema.network.weight.requires_grad
    early = EMA(network, half_life_tracks=1_000_000)
    with torch.no_grad():
        network.weight.fill_(3.0)
    early.update(10, 200)  # the ramp: a half-life of 5 % of 200 tracks
    assert float(early.weights["weight"]) == pytest.approx(2.0, abs=1e-6)
