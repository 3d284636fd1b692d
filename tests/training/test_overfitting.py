"""Whether a training learns its recordings by heart: copies are found, others are not, and the share is what it says."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from mp3net.config import AudioConfig, DataConfig, override
from mp3net.data.dataset import CropDataset
from mp3net.data.preparation import prepare
from mp3net.data.recordings import below
from mp3net.evaluation.light import CropClips
from mp3net.model.batch import WholeBatch
from mp3net.training.overfitting import Copies, Overfitting
from tests.recordings import piece
from tests.training.conftest import CPU, SECOND, TINY, trainer

RATE = 8000
SAMPLES = 12_000


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Eight pieces, those held out half as loud."""
    folder = tmp_path_factory.mktemp("pieces")
    for seed in range(8):
        soundfile.write(folder / f"{seed}.wav", piece(8.0, RATE, seed), RATE, subtype="FLOAT")
    config = DataConfig(sample_rate_hz=RATE, channels=1, heldout_share=0.5)
    prepare(below(folder), out := tmp_path_factory.mktemp("data") / "set", config, 1)
    return out


def test_copies_are_found_and_others_are_not(data):
    train, heldout = (CropDataset(data, SAMPLES, split) for split in ("train", "heldout"))
    copies = Copies(train, heldout, SAMPLES)
    assert copies.share(CropClips(train, SAMPLES, 40, seed=5)) >= 0.85
    assert copies.share_of_heldout == copies.share(CropClips(heldout, SAMPLES, 128, seed=0))
    assert copies.share_of_heldout < 0.1


def test_a_search_can_be_left(data):
    train = CropDataset(data, SAMPLES)
    turns = 0

    def between() -> None:
        nonlocal turns
        turns += 1

    copies = Copies(train, None, SAMPLES, between)
    assert turns == 4 + 128, "after every piece and every copy"
    copies.share(CropClips(train, SAMPLES, 40, seed=5))
    assert turns == 4 + 128 + 40


class Loudness:
    """An objective whose scores are levels: higher for what is louder."""

    batch_size, device = 4, CPU

    def __init__(self, fake_level: float) -> None:
        self.fake_level = fake_level

    def synthesise(self, draws) -> torch.Tensor:
        return torch.full((4, 1, 10, 16), self.fake_level)

    def scores(self, coefficients, draws) -> torch.Tensor:
        assert len(coefficients) == len(draws.sources) == 4
        return coefficients.abs().mean((1, 2, 3))


def test_the_share_is_how_far_held_out_crops_are_taken_for_songs(data):
    train = CropDataset(data, SAMPLES)
    heldout = CropDataset(data, SAMPLES, "heldout")
    quiet = SimpleNamespace(batch=lambda *address: 0.25 * train.batch(*address))
    state = SimpleNamespace(
        config=SECOND.model_copy(update={"audio": AudioConfig(sample_rate_hz=RATE, channels=1, num_bins=16)})
    )
    measured = Overfitting(state, Loudness(0.0), train, quiet, samples=10)
    assert measured._memorised_share() == pytest.approx(0.75, abs=1e-4)
    assert abs(Overfitting(state, Loudness(0.0), train, train, samples=10)._memorised_share()) < 1e-6
    with_real = Overfitting(state, Loudness(0.0), train, heldout, samples=10)._memorised_share()
    assert -0.5 < with_real < 0.5


@pytest.mark.parametrize("config", [TINY, SECOND], ids=["paper", "second"])
def test_scores_are_those_of_the_discriminator_of_this_process(config, tiny_data):
    session = trainer(config, tiny_data)
    objective = session.steps.objective
    overfitting = Overfitting(session.state, objective, session.dataset, None, samples=8)
    coefficients = overfitting._crops(session.dataset)[0]
    scores = objective.scores(coefficients, overfitting._draws(0))
    assert scores.shape[0] == config.optimiser.batch_size
    if config is TINY:  # several processes: the others' samples are not waited for

        def waited(x: torch.Tensor) -> torch.Tensor:
            raise AssertionError("asked the other processes")

        session.state.networks.discriminator.whole_batch = shared = WholeBatch(2, waited)
        torch.testing.assert_close(objective.scores(coefficients, overfitting._draws(0)), scores)
        assert session.state.networks.discriminator.whole_batch is shared


def test_nothing_is_said_where_nothing_can_be(data, tiny_data):
    """Without held-out pieces there is no share; tracks of less than a second are not sought."""
    session = trainer(TINY, tiny_data)
    assert (
        Overfitting(session.state, session.steps.objective, session.dataset, None, 8).readings(session.listening.model) == {}
    )
    long = override(SECOND, ["model.num_parts=64", "model.base_frames=2"])
    session = trainer(long, data)
    assert session.dataset.crop_samples > RATE
    found = Overfitting(session.state, session.steps.objective, session.dataset, None, 8).readings(session.listening.model)
    assert found.keys() == {"evaluation/copied_share"}
    assert np.isfinite(found["evaluation/copied_share"])


def test_scores_can_be_left(data):
    def between() -> None:
        raise InterruptedError

    train = CropDataset(data, SAMPLES)
    with pytest.raises(InterruptedError):
        Overfitting(SimpleNamespace(config=TINY), Loudness(0.0), train, train, 10, between)._memorised_share()
