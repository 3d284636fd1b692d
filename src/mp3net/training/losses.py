"""The whole objective (paper section 3.2): WGAN-GP with drift. Pure functions of tensors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

# Under the root of the gradient norm, as released: its derivative at zero stays finite.
NORM_EPSILON = 1e-8


class Critic(Protocol):
    """Scores (B,) of coefficients that hold `batches` batches of equal size behind each other."""

    def __call__(self, coefficients: Tensor, batches: int = 1) -> Tensor: ...


def interpolate(real: Tensor, fake: Tensor, share_of_real: Tensor) -> Tensor:
    """Points between the (noised) reals and fakes (B, C, T, F); `share_of_real` is (B, 1, 1, 1) in [0, 1)."""
    return share_of_real * real + (1 - share_of_real) * fake


def gradient_norm(discriminator: Critic, coefficients: Tensor) -> Tensor:
    """|grad_x D(x)| per sample (B,), differentiable towards the discriminator's weights.

    The gradient is of the sum of all scores: with the minibatch deviation a sample also moves the scores of the others.
    """
    x = coefficients.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)
    return (gradient.square().sum(dim=(1, 2, 3)) + NORM_EPSILON).sqrt()


def gradient_penalty(norm: Tensor) -> Tensor:
    """E[(|grad D(interpolated)| - 1)^2]: keeps the discriminator close to 1-Lipschitz."""
    return (norm - 1).square().mean()


def wasserstein_estimate(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """E[D(real)] - E[D(fake)]: what the discriminator maximises; an estimate of the distance up to its scale."""
    return real_scores.mean() - fake_scores.mean()


def drift(real_scores: Tensor) -> Tensor:
    """E[D(real)^2]: keeps the scores, which only matter as differences, from wandering off."""
    return real_scores.square().mean()


def generator_loss(fake_scores: Tensor) -> Tensor:
    """L_G = -E[D(fake)]."""
    return -fake_scores.mean()


def discriminator_losses(
    discriminator: Critic,
    real: Tensor,
    fake: Tensor,
    share_of_real: Tensor,
    gradient_penalty_weight: float,
    drift_weight: float,
) -> Iterator[dict[str, Tensor]]:
    """L_D = E[D(fake)] - E[D(real)] + lambda E[(|grad D(interp)| - 1)^2] + epsilon E[D(real)^2], with its terms by name.

    In two parts, whose "loss/discriminator" add up: the scores, then the penalty. Each is computed when it is asked for, so
    that the graph of the first can be gone when the second needs the memory.
    """
    real_scores, fake_scores = discriminator(torch.cat([real, fake]), batches=2).chunk(2)
    distance, wander = wasserstein_estimate(real_scores, fake_scores), drift(real_scores)
    yield {
        "loss/discriminator": drift_weight * wander - distance,
        "distance/wasserstein": distance,
        "penalty/drift": wander,
        "score/real": real_scores.mean(),
        "score/fake": fake_scores.mean(),
    }
    norm = gradient_norm(discriminator, interpolate(real, fake, share_of_real))
    penalty = gradient_penalty(norm)
    yield {
        "loss/discriminator": gradient_penalty_weight * penalty,
        "penalty/gradient": penalty,
        "norm/gradient": norm.mean(),
    }
