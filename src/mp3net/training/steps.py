"""The training step (paper section 4.2): gradients of both networks' losses, and the updates that follow from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from mp3net.training.loader import BatchLoader, Portion
from mp3net.training.objectives.base import Backward, Terms
from mp3net.training.objectives.choice import build_objective
from mp3net.training.objectives.draws import DISCRIMINATOR_STREAM, GENERATOR_STREAM, TrackDraws
from mp3net.training.parallel import Ranks
from mp3net.training.state import Learner, TrainingState

Losses = Callable[[Tensor, TrackDraws, Backward], Terms]


class Steps:
    """The steps of a training run; each uses the batch that follows the tracks seen so far."""

    def __init__(self, state: TrainingState, loader: BatchLoader, device: torch.device, ranks: Ranks) -> None:
        self.state = state
        self.loader = loader
        self.device = device
        self.ranks = ranks
        self.config = state.config
        self.objective = build_objective(state.config, state.networks, device)

    def iteration(self) -> dict[str, float]:
        """n discriminator steps and one generator step. Returns the last values of all named terms."""
        terms: Terms = {}
        for _ in range(self.config.objective.discriminator_steps):
            terms |= self.discriminator()
        terms |= self.generator()
        return self.objective.readings({name: float(value) for name, value in terms.items()})

    def discriminator(self) -> Terms:
        terms = self.discriminator_gradients()
        self.state.move(self.state.discriminator)
        self.state.tracks_seen += self.config.optimiser.batch_size
        return terms

    def generator(self) -> Terms:
        terms = self.generator_gradients()
        self.state.move(self.state.generator)
        tracks = self.config.optimiser.batch_size * self.config.objective.discriminator_steps
        self.state.ema.update(tracks, self.state.tracks_seen)
        return terms

    def discriminator_gradients(self, step: int | None = None, tracks: range | None = None) -> Terms:
        """Leave the gradients of the discriminator's loss on the next batch in its parameters; returns the terms.

        For measurements: as if `step` steps had been made, and on `tracks` instead."""
        losses, learner = self.objective.discriminator, self.state.discriminator
        portions = self._next_batch() if tracks is None else [self.loader.any_tracks(tracks)]
        seen = self.state.tracks_seen if step is None else step * self.config.optimiser.batch_size
        return self._gradients(losses, learner, portions, DISCRIMINATOR_STREAM, seen)

    def generator_gradients(self) -> Terms:
        """Leave the gradients of the generator's loss in its parameters; returns the terms."""
        losses, learner, seen = self.objective.generator, self.state.generator, self.state.tracks_seen
        return self._gradients(losses, learner, self._next_batch(), GENERATOR_STREAM, seen)

    def _next_batch(self) -> Iterable[Portion]:
        return self.loader.batch(self.state.tracks_seen)

    def _gradients(
        self, losses: Losses, learner: Learner, portions: Iterable[Portion], stream: int, tracks_seen: int
    ) -> Terms:
        """Gradients of the mean over the whole batch, added up over portions and processes; terms likewise."""
        settings = self.config.optimiser
        self.state.only(learner)
        totals: Terms = {}
        for portion in portions:
            weight = len(portion.tracks) / settings.batch_size
            draws = TrackDraws(settings.seed, portion.tracks, stream, self.device, tracks_seen)
            for name, value in losses(portion.real, draws, _weighted_backward(weight)).items():
                totals[name] = totals.get(name, 0) + value * weight
        self.ranks.sum_gradients(learner.trained)
        summed = self.ranks.sum(torch.stack(list(totals.values())))
        return dict(zip(totals, summed.unbind(), strict=True))


def _weighted_backward(weight: float) -> Backward:
    def backward(loss: Tensor) -> None:
        (loss * weight).backward()  # type: ignore[no-untyped-call]

    return backward
