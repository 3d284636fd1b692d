"""Metrics cheap enough to compute during training: spectrum and log-mel distances of some songs against held-out clips."""

from __future__ import annotations

import numpy as np

from mp3net.data.dataset import CropDataset
from mp3net.evaluation.clips import ClipFormat, ClipSet, Slot, generated_set
from mp3net.evaluation.features import Extractor, build_extractors, compute, named
from mp3net.evaluation.metrics import FAMILIES
from mp3net.evaluation.spectrum import Features
from mp3net.generation import MP3net

MEASURES = ("spectrum", "logmel")
FIRST_SEED = 1_000_000  # away from the seeds that people listen to


class CropClips(ClipSet):
    """Crops of fixed addresses."""

    def __init__(self, crops: CropDataset, clip_samples: int, samples: int, seed: int) -> None:
        form = ClipFormat(crops.data_config.sample_rate_hz, crops.data_config.channels, clip_samples)
        super().__init__("real", form, [Slot(unit, 0) for unit in range(samples)], [str(n) for n in range(samples)])
        self.crops, self.seed = crops, seed

    def read(self, index: int) -> np.ndarray:
        clip: np.ndarray = self.crops.batch(self.seed, index, 1)[0, :, : self.form.clip_samples].numpy()
        return clip


class LightEvaluation:
    """Compares songs of fixed seeds with fixed real crops; the crops are analysed once."""

    def __init__(self, crops: CropDataset, song_samples: int, samples: int, seed: int) -> None:
        self.song_samples = song_samples
        self.samples = samples
        self.extractors: dict[str, Extractor] = build_extractors(MEASURES, 0.0, required=True)[0]
        self.real = self._features(CropClips(crops, song_samples, samples, seed))

    def _features(self, clips: ClipSet) -> Features:
        return named(compute(clips, self.extractors, lambda done: None))

    def __call__(self, model: MP3net) -> dict[str, float]:
        """Metrics by name: "evaluation/octave_flatness" of the songs, "evaluation/octave_flatness_real" beside it, ..."""
        judged = self._features(generated_set(model, self.samples, self.song_samples, FIRST_SEED))
        everything = np.arange(self.samples)
        out: dict[str, float] = {}
        for family in FAMILIES:
            if family.needs not in self.real:
                continue
            readings = family.build(self.real, judged)(everything, everything)
            out |= {f"evaluation/{name}": reading.value for name, reading in readings.items()}
            if family.per_clip:
                name = f"evaluation/{family.metrics[0].name}"
                out[f"{name}_real"] = float(self.real[family.needs].mean())
                # The mean may be right even if all songs sound the same.
                out[f"{name}_spread"] = float(judged[family.needs].std())
                out[f"{name}_spread_real"] = float(self.real[family.needs].std())
        return out
