"""The two losses of one configuration, as functions of the networks and of addressed random numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor, nn

from mp3net.config import Config
from mp3net.dsp.psychoacoustics import Psychoacoustics, tonality
from mp3net.model.layers import rounded_weights
from mp3net.training import losses
from mp3net.training.checkpoint import TrainingState
from mp3net.training.schedule import factor_at

# Purposes of random numbers: each has its own stream for every track.
INIT_STREAM, DISCRIMINATOR_STREAM, GENERATOR_STREAM = range(3)


def addressed_generator(seed: int, track: int, stream: int, device: torch.device) -> torch.Generator:
    """Random numbers addressed by (seed, track, stream): nothing to save, the same after a resume."""
    words = np.random.SeedSequence([seed, track, stream]).generate_state(2, np.uint32)
    return torch.Generator(device).manual_seed(int(words[0]) << 31 | int(words[1]) >> 1)


class TrackDraws:
    """The random numbers of some tracks. Every track has its own, so they do not depend on how a batch is divided among
    processes or micro-batches."""

    def __init__(self, seed: int, tracks: range, stream: int, device: torch.device) -> None:
        self.device = device
        self.sources = [addressed_generator(seed, track, stream, device) for track in tracks]

    def normal(self, *shape: int) -> Tensor:
        """(tracks, *shape) ~ N(0, 1)."""
        draws = [torch.randn(shape, generator=source, device=self.device) for source in self.sources]
        return torch.stack(draws)

    def uniform(self, *shape: int) -> Tensor:
        """(tracks, *shape) in [0, 1)."""
        return torch.stack([torch.rand(shape, generator=source, device=self.device) for source in self.sources])


class Objective:
    """Losses and their named terms, for the tracks whose draws are given."""

    def __init__(self, config: Config, state: TrainingState, device: torch.device) -> None:
        self.config = config
        self.state = state
        self.device = device
        audio = config.audio
        self.ear = Psychoacoustics(audio.sample_rate_hz, audio.num_bins, grid=config.train.masking_grid).to(device)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.train.precision == "bfloat16")

    def _rounded(self, network: nn.Module) -> AbstractContextManager[None]:
        if self.config.train.precision == "float32":
            return nullcontext()
        return rounded_weights(network, torch.bfloat16)

    def synthesise(self, draws: TrackDraws) -> Tensor:
        """Coefficients (B, C, T, F) of fresh latents, one per track."""
        with self._autocast():
            fake: Tensor = self.state.generator(draws.normal(self.config.model.latent_dim))
        return fake

    def score(self, coefficients: Tensor, batches: int = 1) -> Tensor:
        with self._autocast():
            scores: Tensor = self.state.discriminator(coefficients, batches)
        return scores

    def disguise(self, coefficients: Tensor, draws: TrackDraws) -> Tensor:
        """What the discriminator gets to see: the coefficients with inaudible noise."""
        if not self.config.train.masking_noise:
            return coefficients
        return self.ear.add_masking_noise(coefficients, white=draws.normal(*coefficients.shape[1:]))

    def discriminator_terms(self, real: Tensor, draws: TrackDraws) -> Iterator[dict[str, Tensor]]:
        """Loss and terms of one discriminator step on real coefficients (B, C, T, F), in parts whose losses add up.

        A part's gradients are to be taken before the next part is asked for.
        """
        with torch.no_grad():
            fake = self.synthesise(draws)
            seen = {
                "tonality/real": tonality(real).mean(),
                "tonality/generated": tonality(fake).mean(),
                "power/real": real.square().mean(),
                "power/generated": fake.square().mean(),
            }
            share_of_real = draws.uniform(1, 1, 1)
            noised_real, noised_fake = self.disguise(real, draws), self.disguise(fake, draws)
        yield seen
        train = self.config.train
        penalty_weight = train.gradient_penalty_weight * factor_at(
            train.gradient_penalty_schedule, self.state.tracks_seen
        )
        with self._rounded(self.state.discriminator):
            yield from losses.discriminator_losses(
                self.score, noised_real, noised_fake, share_of_real, penalty_weight, train.drift_weight
            )

    def generator_terms(self, draws: TrackDraws) -> Iterator[dict[str, Tensor]]:
        """Loss of one generator step, in one part; gradients pass through the masking threshold."""
        yield {"loss/generator": losses.generator_loss(self.score(self.disguise(self.synthesise(draws), draws)))}
