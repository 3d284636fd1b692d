"""The paper's objective (section 3.2): WGAN-GP with drift."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Protocol

import torch
from torch import Tensor
from torch.func import functional_call

from mp3net.config import Config, WganGp
from mp3net.model.batch import WholeBatch
from mp3net.model.build import Networks
from mp3net.model.paper.discriminator import Discriminator
from mp3net.model.paper.layers import rounded_weights
from mp3net.training.objectives.base import Backward, Objective, Terms, compared
from mp3net.training.objectives.draws import TrackDraws

# Added under the root of the gradient norm, as in the released code, so that its derivative at zero stays finite.
NORM_EPSILON = 1e-8


class Critic(Protocol):
    """Scores (B,) of coefficients that hold `batches` consecutive batches of equal size."""

    def __call__(self, coefficients: Tensor, batches: int = 1) -> Tensor: ...


def interpolate(real: Tensor, fake: Tensor, share_of_real: Tensor) -> Tensor:
    """Points between the (noised) reals and fakes (B, C, T, F); `share_of_real` is (B, 1, 1, 1) in [0, 1)."""
    return share_of_real * real + (1 - share_of_real) * fake


def gradient_norm(discriminator: Critic, coefficients: Tensor) -> Tensor:
    """|grad_x D(x)| per sample (B,), differentiable with respect to the discriminator's weights.

    The gradient is that of the sum of all scores: with the minibatch deviation, a sample also affects the others' scores.
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


def score_drift(real_scores: Tensor) -> Tensor:
    """E[D(real)^2]: keeps the scores, which only matter as differences, from drifting away."""
    return real_scores.square().mean()


def generator_loss(fake_scores: Tensor) -> Tensor:
    """L_G = -E[D(fake)]."""
    return -fake_scores.mean()


def discriminator_loss(
    discriminator: Critic,
    real: Tensor,
    fake: Tensor,
    share_of_real: Tensor,
    gradient_penalty_weight: float,
    drift_weight: float,
    backward: Backward,
) -> Terms:
    """L_D = E[D(fake)] - E[D(real)] + lambda E[(|grad D(interp)| - 1)^2] + epsilon E[D(real)^2], with its terms by name.

    `backward` is called twice, with the scores' part and with the penalty's.
    """
    real_scores, fake_scores = discriminator(torch.cat([real, fake]), batches=2).chunk(2)
    distance, drift = wasserstein_estimate(real_scores, fake_scores), score_drift(real_scores)
    of_scores = drift_weight * drift - distance
    backward(of_scores)
    norm = gradient_norm(discriminator, interpolate(real, fake, share_of_real))
    penalty = gradient_penalty(norm)
    of_penalty = gradient_penalty_weight * penalty
    backward(of_penalty)
    return {
        "loss/discriminator": (of_scores + of_penalty).detach(),
        "distance/wasserstein": distance.detach(),
        "penalty/drift": drift.detach(),
        "penalty/gradient": penalty.detach(),
        "norm/gradient": norm.mean().detach(),
        "score/real": real_scores.mean().detach(),
        "score/fake": fake_scores.mean().detach(),
    }


class WassersteinObjective(Objective):
    """WGAN-GP with drift, on coefficients with masking noise."""

    gap = "distance/wasserstein"

    def __init__(self, config: Config, networks: Networks, device: torch.device) -> None:
        super().__init__(config, networks, device)
        assert isinstance(config.objective, WganGp)
        self.drift_weight = config.objective.drift_weight

    def discriminator(self, real: Tensor, draws: TrackDraws, backward: Backward) -> Terms:
        with torch.no_grad():
            fake = self.synthesise(draws)
            share_of_real = draws.uniform(1, 1, 1)
            noised_real, noised_fake = self.add_masking_noise(real, draws), self.add_masking_noise(fake, draws)
        # Three passes use the weights, so they are rounded once.
        once = {} if self.precision == "float32" else rounded_weights(self.networks.discriminator, torch.bfloat16)
        terms = discriminator_loss(
            partial(self._score, weights=once), noised_real, noised_fake, share_of_real,
            self.scheduled_penalty_weight(draws), self.drift_weight, backward,
        )  # fmt: skip
        return compared(real, fake) | terms

    def generator(self, real: Tensor, draws: TrackDraws, backward: Backward) -> Terms:
        """Gradients pass through the masking threshold. The real tracks are not needed."""
        loss = generator_loss(self._score(self.add_masking_noise(self.synthesise(draws), draws)))
        backward(loss)
        return {"loss/generator": loss.detach()}

    def scores(self, coefficients: Tensor, draws: TrackDraws) -> Tensor:
        network = self.networks.discriminator
        assert isinstance(network, Discriminator)
        # The others do not take part, so their samples are not to be waited for.
        shared, network.whole_batch = network.whole_batch, WholeBatch()
        try:
            return self._score(self.add_masking_noise(coefficients, draws))
        finally:
            network.whole_batch = shared

    def _score(self, coefficients: Tensor, batches: int = 1, weights: Mapping[str, Tensor] | None = None) -> Tensor:
        """Scores, computed with `weights` instead of the network's own if given."""
        with self.autocast():
            scores: Tensor = functional_call(self.networks.discriminator, dict(weights or {}), (coefficients, batches))
        return scores
