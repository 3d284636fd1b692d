"""What a run sounds like while it trains: songs and metrics of the averaged generator, made by the code that users call."""

from __future__ import annotations

from collections.abc import Callable

from mp3net.data.dataset import CropDataset
from mp3net.evaluation.light import LightEvaluation, never_left
from mp3net.generation import MP3net, Song
from mp3net.training.levels import SongLevels
from mp3net.training.objectives.base import Objective
from mp3net.training.overfitting import Overfitting
from mp3net.training.state import TrainingState

SAMPLE_SEEDS = (1, 2, 3, 4)


class Listening:
    """Songs of fixed seeds, at the levels of the data, and light metrics next to those of the `reference` crops, which are
    analysed once; and whether the recordings are learned by heart. `heldout` None: the songs are compared with `data`.
    `between` is that of `LightEvaluation`."""

    def __init__(
        self,
        state: TrainingState,
        objective: Objective,
        data: CropDataset,
        heldout: CropDataset | None,
        between: Callable[[], None] = never_left,
    ) -> None:
        self.between = between
        self.state = state
        self.reference = heldout or data
        self.overfitting = Overfitting(state, objective, data, heldout, state.config.run.evaluate_samples, between)
        self.levels = SongLevels(state, data)
        self._judge: LightEvaluation | None = None

    @property
    def model(self) -> MP3net:
        self.levels.bring()
        config = self.state.config
        return MP3net(self.state.ema.network, config, config.optimiser.precision)

    def songs(self) -> list[Song]:
        return [self.model.generate(seed) for seed in SAMPLE_SEEDS]

    def readings(self) -> dict[str, float]:
        """Metrics by name, with those of real clips alongside."""
        if self._judge is None:
            config = self.state.config
            length, count = self.model.song_samples(None), config.run.evaluate_samples
            self._judge = LightEvaluation(self.reference, length, count, config.optimiser.seed, self.between)
        model = self.model
        return self._judge(model) | self.overfitting.readings(model)
