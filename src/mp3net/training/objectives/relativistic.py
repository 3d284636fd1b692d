"""The second family's objective: scores in pairs, with gradient penalties on both sides (R3GAN, 2501.05441)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mp3net.config import Config, Relativistic
from mp3net.model.build import Networks
from mp3net.model.mp3net2.discriminator import Discriminator
from mp3net.model.mp3net2.gap import ProfileGap
from mp3net.model.mp3net2.generator import Generator
from mp3net.model.mp3net2.harmony import pitch_profile, transposed
from mp3net.model.mp3net2.meter import beat_profile
from mp3net.model.mp3net2.profiles import mean_profiles
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


# Beyond this gap songs are not drawn more strongly to move and to be in tune as recordings are. Sound that is not music yet
# moves so differently that learning to move would come before learning to sound (docs/results.md).
LONGEST_GAP = 0.2


class Drawn(NamedTuple):
    """What songs are drawn to: its name, the estimate of how far they are from it, their profiles, how strongly, and up to
    which gap the more strongly the further they are away."""

    name: str
    estimate: ProfileGap
    profile: Tensor
    weight: float
    longest: float = math.inf


class RelativisticObjective(Objective):
    """Relativistic pairs with R1 and R2, gamma / 2 E[|grad D|^2] on reals and fakes each, every few steps with a weight as
    many times larger; the gradients are with respect to the front-end's features."""

    gap = "score/gap"

    def __init__(self, config: Config, networks: Networks, device: torch.device) -> None:
        super().__init__(config, networks, device)
        assert isinstance(config.objective, Relativistic)
        self.penalty_every = self.cycle_steps = config.objective.penalty_every
        self.weights = config.objective.weights
        self.audio = config.audio

    def summary(self, readings: Mapping[str, float]) -> str:
        followed = ((name, readings.get(f"{name}/followed")) for name in ("beat", "key"))
        return super().summary(readings) + "".join(f"  {name} {share:.2f}" for name, share in followed if share is not None)

    def discriminator(self, real: Tensor, draws: TrackDraws, backward: Backward) -> Terms:
        with torch.no_grad():
            latents = draws.normal(self.latent_size)
            fake = self.played(latents)
            features = torch.cat([self._features(real, draws), self._features(fake, draws)])
        drawn = list(self._drawn(features[len(real) :], latents))
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
        for name, estimate, profile, *_ in drawn:
            loss = loss + estimate.error(profile)
            terms |= {f"{name}/followed": estimate.followed(profile), f"{name}/gap": estimate.gap.detach().square().sum()}
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
        for _, estimate, profile, weight, longest in self._drawn(features, latents):
            loss = loss + weight * estimate.pull(profile, longest)
        backward(loss)
        return terms

    def scores(self, coefficients: Tensor, draws: TrackDraws) -> Tensor:
        return self._scores(self._features(coefficients, draws))

    def _drawn(self, features: Tensor, latents: Tensor) -> Iterator[Drawn]:
        """How songs follow what they go by, and what else they are drawn to, in the features (B, T, 6, C, F) of the songs of
        these latents."""
        generator, discriminator = self.networks.generator, self._discriminator()
        assert isinstance(generator, Generator)
        beats, keys = generator.guides(latents)
        if beats is not None and discriminator.beat is not None and self.weights["beat"]:
            times = torch.arange(features.shape[1], device=features.device, dtype=features.dtype) + 0.5
            profile = beat_profile(features[:, :, 0].mean(2), beats.bars(times))
            yield Drawn("beat", discriminator.beat, profile, self.weights["beat"])
        if keys is not None and discriminator.key is not None and self.weights["key"]:
            profile = transposed(pitch_profile(features, self.audio, keys.shape[1]), keys)
            yield Drawn("key", discriminator.key, profile, self.weights["key"])
        for name, profile in mean_profiles(features, discriminator.config, self.audio):
            if self.weights[name]:
                longest = math.inf if name == "intervals" else LONGEST_GAP
                yield Drawn(name, discriminator.estimates[name], profile, self.weights[name], longest)

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
