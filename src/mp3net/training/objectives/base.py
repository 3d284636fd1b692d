"""What all objectives share: generated tracks, what the discriminator sees, and readings of real and generated tracks."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

import torch
from torch import Tensor

from mp3net.config import Config
from mp3net.dsp.psychoacoustics import Psychoacoustics, tonality
from mp3net.model.build import Networks
from mp3net.training.objectives.draws import TrackDraws
from mp3net.training.schedule import factor_at

# Named scalars, means over the tracks that they were computed from.
Terms = dict[str, Tensor]
# Takes a loss, the mean over the tracks at hand, and leaves its gradients in the parameters.
Backward = Callable[[Tensor], None]


class Objective(ABC):
    """The losses of both networks for the tracks whose real coefficients (B, C, T, F) and random numbers are given.

    Each calls `backward` as soon as a part of the loss is computed, so that the part's graph can be freed before the next
    one needs the memory, and returns named terms. The losses of tracks (or of whole groups of them, if the discriminator
    couples samples) add up, so a batch may be computed in portions.
    """

    # The term that says how well the discriminator tells real from generated.
    gap: ClassVar[str]
    # Discriminator steps after which the cost of a step repeats; the first one costs most.
    cycle_steps: int = 1

    def __init__(self, config: Config, networks: Networks, device: torch.device) -> None:
        self.networks = networks
        self.device = device
        self.precision = config.optimiser.precision
        self.batch_size = config.optimiser.batch_size
        self.latent_size = config.model.latent_size(config.model.num_frames)
        noise = config.objective.masking_noise
        self.psychoacoustics: Psychoacoustics | None = None
        if noise is not None:
            audio = config.audio
            model = Psychoacoustics(audio.sample_rate_hz, audio.num_bins, grid=noise.grid)
            self.psychoacoustics = model.to(device)
        self.penalty_weight = config.objective.gradient_penalty_weight
        self.penalty_schedule = config.objective.gradient_penalty_schedule

    @abstractmethod
    def discriminator(self, real: Tensor, draws: TrackDraws, backward: Backward) -> Terms:
        """Pass the discriminator's losses to `backward` and return their terms."""

    @abstractmethod
    def generator(self, real: Tensor, draws: TrackDraws, backward: Backward) -> Terms:
        """Pass the generator's loss to `backward` and return its terms."""

    @abstractmethod
    def scores(self, coefficients: Tensor, draws: TrackDraws) -> Tensor:
        """What the discriminator, as it is, makes of coefficients (B, C, T, F) of this process alone: scores (B, ...)."""

    def readings(self, terms: Mapping[str, float]) -> dict[str, float]:
        """Terms as they are logged, with powers as levels in dB."""
        out = dict(terms)
        for kind in ("real", "generated"):
            out[f"level_db/{kind}"] = 10 * math.log10(max(out.pop(f"power/{kind}"), 1e-14))
        return out

    def summary(self, readings: Mapping[str, float]) -> str:
        """The most informative readings, in one line of text. Some are not present every time."""
        penalty = f"penalty {readings['penalty/gradient']:.3f}  " if "penalty/gradient" in readings else ""
        return (
            f"gap {readings[self.gap]:.3f}  {penalty}"
            f"level {readings['level_db/generated']:.1f} dB (real {readings['level_db/real']:.1f})  "
            f"tonality {readings['tonality/generated']:.3f} (real {readings['tonality/real']:.3f})"
        )

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")

    def synthesise(self, draws: TrackDraws) -> Tensor:
        """Coefficients (B, C, T, F) of fresh latents, one per track."""
        return self.played(draws.normal(self.latent_size))

    def played(self, latents: Tensor) -> Tensor:
        """Latents (B, Z) -> coefficients (B, C, T, F)."""
        with self.autocast():
            coefficients: Tensor = self.networks.generator(latents)
        return coefficients

    def add_masking_noise(self, coefficients: Tensor, draws: TrackDraws) -> Tensor:
        """What the discriminator sees: the coefficients with inaudible masking noise."""
        if self.psychoacoustics is None:
            return coefficients
        return self.psychoacoustics.add_masking_noise(coefficients, white=draws.normal(*coefficients.shape[1:]))

    def scheduled_penalty_weight(self, draws: TrackDraws) -> float:
        return self.penalty_weight * factor_at(self.penalty_schedule, draws.tracks_seen)


@torch.no_grad()
def compared(real: Tensor, fake: Tensor) -> Terms:
    """Tonality and power of real and generated coefficients."""
    return {
        "tonality/real": tonality(real).mean(),
        "tonality/generated": tonality(fake).mean(),
        "power/real": real.square().mean(),
        "power/generated": fake.square().mean(),
    }
