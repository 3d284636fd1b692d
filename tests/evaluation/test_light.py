"""The light evaluation agrees with the full one's functions, and improves when the model is the data."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from mp3net.data.dataset import CropDataset
from mp3net.evaluation import pairs
from mp3net.evaluation.features import MAX_BATCH
from mp3net.evaluation.light import LightEvaluation
from mp3net.evaluation.spectrum import spectrum_features
from mp3net.generation import MP3net, Song

SONG = 255 * 64


@pytest.fixture(scope="module")
def crops(dataset) -> CropDataset:
    return CropDataset(dataset, SONG + 2 * 64, "heldout")


class Player(MP3net):
    """A perfect model: plays crops of the data."""

    def __init__(self, crops: CropDataset, config) -> None:
        self.crops, self.config, self.snapshot, self.player = crops, config, None, SimpleNamespace(name="crops float32")

    def generate(self, seed: int, duration_s: float | None = None) -> Song:
        return Song(self.crops.batch(99, seed, 1)[0, :, :SONG].numpy(), 11008, seed)


def test_values_are_those_of_the_features(crops, untrained):
    model = MP3net.from_pretrained(untrained)
    light = LightEvaluation(crops, SONG, 16, 0)
    values = light(model)
    songs = np.stack([model.generate(1_000_000 + number).audio for number in range(16)])
    assert values["evaluation/octave_flatness"] == pytest.approx(spectrum_features(songs, 11008)["octave_flatness"].mean())
    real = crops.batch(0, 0, 16)[..., :SONG].numpy()
    assert values["evaluation/tonality_real"] == pytest.approx(spectrum_features(real, 11008)["tonality"].mean(), rel=1e-5)
    assert values == light(model)


def test_it_can_be_left_between_any_two_batches_of_clips(crops, untrained):
    turns = iter([None] * 3)

    def between() -> None:
        next(turns)

    light = LightEvaluation(crops, SONG, 2 * MAX_BATCH, 0, between)
    with pytest.raises(StopIteration):
        light(MP3net.from_pretrained(untrained))


def test_a_perfect_model_is_near_and_a_noisy_one_far(crops, untrained, monkeypatch):
    monkeypatch.setattr(pairs, "STEPS", 30)  # noise is found at once
    light = LightEvaluation(crops, SONG, 32, 0)
    noisy = MP3net.from_pretrained(untrained)
    perfect, bad = light(Player(crops, noisy.config)), light(noisy)
    assert perfect["evaluation/kernel_logmel"] < 0.2 * bad["evaluation/kernel_logmel"]
    assert perfect["evaluation/coverage_logmel"] > 0.7 > bad["evaluation/coverage_logmel"]
    assert bad["evaluation/pair_error"] < 0.05 < 0.3 < perfect["evaluation/pair_error"] < 0.8
    assert abs(perfect["evaluation/octave_flatness"] / perfect["evaluation/octave_flatness_real"] - 1) < 0.15
