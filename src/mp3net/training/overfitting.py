"""Does a training learn its recordings by heart? Measured now and then, beside the light evaluation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from mp3net.data.dataset import CropDataset
from mp3net.dsp.mdct import mdct
from mp3net.evaluation import memorisation
from mp3net.evaluation.clips import ClipSet, generated_set
from mp3net.evaluation.light import FIRST_SEED, CropClips, never_left
from mp3net.generation import MP3net
from mp3net.training.objectives.base import Objective
from mp3net.training.objectives.draws import TrackDraws
from mp3net.training.state import TrainingState

# Copies are sought in training data of up to so many hours: more is not learned by heart, and would take long to search.
MOST_HOURS = 8.0
# Shorter passages resemble others by chance.
LEAST_S = 1.0
# Real clips on which the search is calibrated.
COPIES = 128
SCORE_STREAM = 3


class Overfitting:
    """Readings of a run with held-out crops; without them (`heldout` None) only the search for copies is left.

    `between` is that of `LightEvaluation`.
    """

    def __init__(
        self,
        state: TrainingState,
        objective: Objective,
        data: CropDataset,
        heldout: CropDataset | None,
        samples: int,
        between: Callable[[], None] = never_left,
    ) -> None:
        self.between = between
        self.state, self.objective = state, objective
        self.data = CropDataset(data.store, data.crop_samples)  # as recorded: changed crops would not be found
        self.heldout = heldout
        self.samples = samples
        self._copies: Copies | None = None

    def readings(self, model: MP3net) -> dict[str, float]:
        """Shares by name; "evaluation/copied_share_real" is that of held-out crops, which cannot be copies."""
        found = {} if self.heldout is None else {"evaluation/memorised_share": self._memorised_share()}
        clip_samples = model.song_samples(None)
        if self.data.hours > MOST_HOURS or clip_samples < LEAST_S * self.state.config.audio.sample_rate_hz:
            return found
        if self._copies is None:
            self._copies = Copies(self.data, self.heldout, clip_samples, self.between)
        found["evaluation/copied_share"] = self._copies.share(generated_set(model, self.samples, clip_samples, FIRST_SEED))
        if self._copies.share_of_heldout is not None:
            found["evaluation/copied_share_real"] = self._copies.share_of_heldout
        return found

    @torch.no_grad()
    def _memorised_share(self) -> float:
        """How far the discriminator takes held-out recordings for generated ones, by its mean scores of all three:

            (D(training) - D(held out)) / (D(training) - D(generated))

        0: it scores recordings that it has never seen as high as those that it trains on; 1: as low as generated songs.
        """
        assert self.heldout is not None
        train, heldout, fake = (
            torch.cat([self._scores(coefficients, number) for number, coefficients in enumerate(batches)]).mean().item()
            for batches in (self._crops(self.data), self._crops(self.heldout), self._songs())
        )
        return (train - heldout) / max(train - fake, 1e-6)

    def _crops(self, crops: CropDataset) -> list[Tensor]:
        audio, size = self.state.config.audio, self.objective.batch_size
        seed = self.state.config.optimiser.seed
        batches = (crops.batch(seed, first, size) for first in range(0, self.samples, size))
        return [mdct(batch.to(self.objective.device), audio.num_bins, audio.window, edges="crop") for batch in batches]

    def _songs(self) -> list[Tensor]:
        return [
            self.objective.synthesise(self._draws(number)) for number in range(-(-self.samples // self.objective.batch_size))
        ]

    def _scores(self, coefficients: Tensor, number: int) -> Tensor:
        self.between()
        return self.objective.scores(coefficients, self._draws(number))

    def _draws(self, number: int) -> TrackDraws:
        size = self.objective.batch_size
        tracks = range(number * size, (number + 1) * size)
        return TrackDraws(self.state.config.optimiser.seed, tracks, SCORE_STREAM, self.objective.device)


class Copies:
    """The search of `evaluation.memorisation`, calibrated once: what exact copies reach, and how often others do."""

    def __init__(
        self, data: CropDataset, heldout: CropDataset | None, clip_samples: int, between: Callable[[], None] = never_left
    ) -> None:
        self.between = between
        self._index = memorisation.index_training(data.store, lambda done, total: between())
        seed = 0
        exact = CropClips(data, clip_samples, COPIES, seed)
        self.threshold = memorisation.copy_threshold(self._similarity(exact))
        self.share_of_heldout: float | None = None
        if heldout is not None:
            self.share_of_heldout = self.share(CropClips(heldout, clip_samples, COPIES, seed))

    def share(self, clips: ClipSet) -> float:
        """The share of clips as similar to a training passage as exact copies are."""
        return float((self._similarity(clips) >= self.threshold).mean())

    def _similarity(self, clips: ClipSet) -> np.ndarray:
        found = memorisation.search(clips, self._index, exclude_own=False, progress=lambda done: self.between())
        return found["similarity"]
