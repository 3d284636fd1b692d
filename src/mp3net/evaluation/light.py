"""Metrics cheap enough to compute during training: spectrum and log-mel distances of some songs against held-out clips."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mp3net.data.dataset import CropDataset
from mp3net.evaluation.clips import MIN_CLIPS, ClipFormat, ClipSet, Slot, generated_set
from mp3net.evaluation.features import Extractor, build_extractors, compute, named
from mp3net.evaluation.metrics import FAMILIES, PAIR_ERROR
from mp3net.evaluation.pairs import LEVELS, PairTest
from mp3net.evaluation.spectrum import Features
from mp3net.generation import MP3net

MEASURES = ("spectrum", "logmel", "pairs")
FIRST_SEED = 1_000_000  # away from the seeds that people listen to


class CropClips(ClipSet):
    """Crops of fixed addresses."""

    def __init__(self, crops: CropDataset, clip_samples: int, samples: int, seed: int) -> None:
        form = ClipFormat(crops.data_config.sample_rate_hz, crops.data_config.channels, clip_samples)
        places = [Slot(*crops.locate(seed, index)) for index in range(samples)]
        super().__init__("real", form, places, crops.names)
        self.crops, self.seed = crops, seed

    def read(self, index: int) -> np.ndarray:
        clip: np.ndarray = self.crops.batch(self.seed, index, 1)[0, :, : self.form.clip_samples].numpy()
        return clip


def never_left() -> None:
    """Between two clips of an evaluation that is made to its end."""


class LightEvaluation:
    """Compares songs of fixed seeds with fixed real crops; the crops are analysed once.

    `between` is called again and again between two clips; what it raises leaves the evaluation, which can be made anew.
    """

    def __init__(
        self, crops: CropDataset, song_samples: int, samples: int, seed: int, between: Callable[[], None] = never_left
    ) -> None:
        self.between = between
        self.song_samples = song_samples
        self.samples = samples
        self.extractors: dict[str, Extractor] = build_extractors(MEASURES, 0.0, required=True)[0]
        clips = CropClips(crops, song_samples, samples, seed)
        self.pieces = clips.units
        self.real = self._features(clips)

    def _features(self, clips: ClipSet) -> Features:
        return named(compute(clips, self.extractors, lambda done: self.between()))

    def __call__(self, model: MP3net) -> dict[str, float]:
        """Metrics by name: "evaluation/octave_flatness" of the songs, "evaluation/octave_flatness_real" beside it, ..."""
        judged = self._features(generated_set(model, self.samples, self.song_samples, FIRST_SEED))
        everything = np.arange(self.samples)
        out: dict[str, float] = {}
        for family in FAMILIES:
            if family.needs not in self.real or family.needs == LEVELS:
                continue
            readings = family.build(self.real, judged)(everything, everything)
            out |= {f"evaluation/{name}": reading.value for name, reading in readings.items()}
            if family.per_clip:
                name = f"evaluation/{family.metrics[0].name}"
                out[f"{name}_real"] = float(self.real[family.needs].mean())
                # The mean may be right even if all songs sound the same.
                out[f"{name}_spread"] = float(judged[family.needs].std())
                out[f"{name}_spread_real"] = float(self.real[family.needs].std())
        return out | self._pair_error(judged)

    def _pair_error(self, judged: Features) -> dict[str, float]:
        """Of one classifier per fold instead of three, which takes seconds; of fewer clips than it takes, nothing."""
        if self.samples < MIN_CLIPS:
            return {}
        test = PairTest(self.real[LEVELS], self.pieces, judged[LEVELS], np.arange(self.samples), seeds=1)
        return {f"evaluation/{PAIR_ERROR.name}": test.error(np.arange(self.samples), np.arange(self.samples))}
