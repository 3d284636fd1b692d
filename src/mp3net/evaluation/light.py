"""Metrics light enough for a training run: spectrum and log-mel distances of some songs against held-out clips."""

from __future__ import annotations

import numpy as np

from mp3net.data.dataset import CropDataset
from mp3net.evaluation.clips import ClipSet, generated_set
from mp3net.evaluation.features import Extractor, build_extractors, compute
from mp3net.evaluation.metrics import FAMILIES
from mp3net.evaluation.spectrum import Features
from mp3net.generation import MP3net

MEASURES = ("spectrum", "logmel")
FIRST_SEED = 1_000_000  # away from the seeds that people listen to


class LightEvaluation:
    """Compares songs of fixed seeds with fixed real crops; the crops are analysed once."""

    def __init__(self, crops: CropDataset, song_samples: int, samples: int, seed: int) -> None:
        self.song_samples = song_samples
        self.samples = samples
        self.extractors: dict[str, Extractor] = build_extractors(MEASURES, 0.0, required=True)[0]
        data = crops.data_config
        real = ClipSet(
            "real", lambda index: crops.batch(seed, index, 1)[0, :, :song_samples].numpy(), np.arange(samples),
            [str(index) for index in range(samples)], [0.0] * samples, data.sample_rate_hz, data.channels, song_samples, "",
        )  # fmt: skip
        self.real = self._features(real)

    def _features(self, clips: ClipSet) -> Features:
        found = compute(clips, self.extractors, lambda done: None)
        return {f"{name}/{key}": value for name, features in found.items() for key, value in features.items()}

    def __call__(self, model: MP3net) -> dict[str, float]:
        """Metrics by name: "evaluation/octave_flatness" of the songs, "evaluation/octave_flatness_real" beside it, ..."""
        judged = self._features(generated_set(model, self.samples, self.song_samples, FIRST_SEED))
        everything = np.arange(self.samples)
        out: dict[str, float] = {}
        for family in FAMILIES:
            if family.needs not in self.real:
                continue
            values = family.build(self.real, judged)(everything, everything)
            for number, metric in enumerate(family.metrics):
                out[f"evaluation/{metric.name}"] = values[2 * number]
            if family.needs.startswith("spectrum/") and family.needs.split("/")[1] == family.metrics[0].name:
                name = f"evaluation/{family.metrics[0].name}"
                out[f"{name}_real"] = float(self.real[family.needs].mean())
                # One sound for every song may have the right mean.
                out[f"{name}_spread"] = float(judged[family.needs].std())
                out[f"{name}_spread_real"] = float(self.real[family.needs].std())
        return out
