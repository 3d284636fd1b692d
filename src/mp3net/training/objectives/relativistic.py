"""The second family's objective: scores in pairs, with gradient penalties on both sides (R3GAN, 2501.05441)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from mp3net.config import Config, Relativistic
from mp3net.model.build import Networks
from mp3net.model.mp3net2.discriminator import Discriminator
from mp3net.model.mp3net2.generator import Generator
from mp3net.model.mp3net2.meter import BeatGap, beat_profile
from mp3net.training.objectives.base import Backward, Objective, Terms, compared
from mp3net.training.objectives.draws import TrackDraws


def pairing_loss(better: Tensor, worse: Tensor) -> Tensor:
    """Scores (B, 1 + n) of tracks and their n parts -> E[log(1 + exp(worse - better))], half for the tracks, half for parts.

    The discriminator's loss with `better` real, the generator's with `better` fake. Unlike a single threshold, pairs
    penalise a generator that leaves out a mode of the data: every real score has to be beaten by a fake one.
    """
    margin = F.softplus(worse - better)
    return (margin[:, 0].mean() + margin[:, 1:].mean()) / 2


def squared_slope(scores: Tensor, features: Tensor, signs: Tensor) -> Tensor:
    """Scores (B, 1 + n) of `features` (B, ...), random signs of that shape -> squared slope per sample (B,), whose
    expectation over the signs is the mean of n |grad track|^2 and the mean over parts of |grad part|^2.

    A track has n times as many features as a part, and their evidence adds up: with the factor n, one penalty weight keeps
    the track's score and those of its parts at similar gaps, whatever the length. A single gradient serves them all, that of
    (sqrt(n) s_0 track + sum of s_p part_p / sqrt(n)) / sqrt(2): the product of two scores' gradients has either sign equally
    often, so only the squares remain. Without signs, the products of a track with its parts, which rely on the same
    features, would double the penalty.
    """
    num_parts = scores.shape[1] - 1
    signed = scores * signs
    together = (num_parts**0.5 * signed[:, 0] + signed[:, 1:].sum(1) / num_parts**0.5) / 2**0.5
    (gradient,) = torch.autograd.grad(together.sum(), features, create_graph=True)
    return gradient.square().flatten(1).sum(1)


class RelativisticObjective(Objective):
    """Relativistic pairs with R1 and R2, gamma / 2 E[|grad D|^2] on reals and fakes each, every few steps with a weight as
    many times larger; the gradients are with respect to the front-end's features."""

    gap = "score/gap"

    def __init__(self, config: Config, networks: Networks, device: torch.device) -> None:
        super().__init__(config, networks, device)
        assert isinstance(config.objective, Relativistic)
        self.penalty_every = self.cycle_steps = config.objective.penalty_every
        self.beat_weight = config.objective.beat_weight

    def summary(self, readings: Mapping[str, float]) -> str:
        beat = f"  beat {readings['beat/followed']:.2f}" if "beat/followed" in readings else ""
        return super().summary(readings) + beat

    def discriminator(self, real: Tensor, draws: TrackDraws, backward: Backward) -> Terms:
        with torch.no_grad():
            latents = draws.normal(self.latent_size)
            fake = self.played(latents)
            features = torch.cat([self._features(real, draws), self._features(fake, draws)])
        beat = self._profile(features[len(real) :], latents)
        penalised = draws.tracks_seen // self.batch_size % self.penalty_every == 0
        scores = self._scores(features.requires_grad_(penalised))
        real_scores, fake_scores = scores.chunk(2)
        loss = pairing_loss(real_scores, fake_scores)
        gap = (real_scores - fake_scores).detach()
        terms = compared(real, fake) | {
            "loss/pairs": loss.detach(),
            "score/gap": gap.mean(),
            "score/gap_track": gap[:, 0].mean(),
            "score/gap_parts": gap[:, 1:].mean(),
            "score/real": real_scores.mean().detach(),
            "score/fake": fake_scores.mean().detach(),
        }
        if penalised:
            signs = draws.signs(real_scores.shape[1]).repeat(2, 1)
            of_real, of_fake = squared_slope(scores, features, signs).chunk(2)
            penalty = (of_real.mean() + of_fake.mean()) / 2
            loss = loss + self.penalty_every * self.scheduled_penalty_weight(draws) * penalty
            terms |= {
                "penalty/gradient": penalty.detach(),
                "slope/real": of_real.mean().detach(),
                "slope/fake": of_fake.mean().detach(),
            }
        if beat is not None:
            estimate = self._beat_gap
            loss = loss + estimate.error(beat)
            terms |= {"beat/followed": estimate.followed(beat), "beat/gap": estimate.gap.detach().square().sum()}
        backward(loss)
        return terms

    def generator(self, real: Tensor, draws: TrackDraws, backward: Backward) -> Terms:
        """Gradients pass through the masking noise and the front-end, including their thresholds."""
        with torch.no_grad():
            real_scores = self._scores(self._features(real, draws))
        latents = draws.normal(self.latent_size)
        features = self._features(self.played(latents), draws)
        loss = pairing_loss(self._scores(features), real_scores)
        terms = {"loss/generator": loss.detach()}
        beat = self._profile(features, latents)
        if beat is not None:
            loss = loss + self.beat_weight * self._beat_gap.pull(beat)
        backward(loss)
        return terms

    def scores(self, coefficients: Tensor, draws: TrackDraws) -> Tensor:
        return self._scores(self._features(coefficients, draws))

    def _profile(self, features: Tensor, latents: Tensor) -> Tensor | None:
        """How the onsets in the features (B, T, 6, C, F) of songs follow their beat; None if they have none."""
        generator = self.networks.generator
        assert isinstance(generator, Generator)
        beats = generator.beats(latents)
        if beats is None or not self.beat_weight:
            return None
        times = torch.arange(features.shape[1], device=features.device, dtype=features.dtype) + 0.5
        return beat_profile(features[:, :, 0].mean(2), beats.bars(times))

    @property
    def _beat_gap(self) -> BeatGap:
        beat = self._discriminator().beat
        assert beat is not None
        return beat

    def _discriminator(self) -> Discriminator:
        network = self.networks.discriminator
        assert isinstance(network, Discriminator)
        return network

    def _features(self, coefficients: Tensor, draws: TrackDraws) -> Tensor:
        features: Tensor = self._discriminator().front_end(self.add_masking_noise(coefficients, draws))
        return features

    def _scores(self, features: Tensor) -> Tensor:
        with self.autocast():
            return self._discriminator().judge(features)
