"""Reading ahead and schedules."""

from __future__ import annotations

import time

import pytest
import torch

from mp3net.config import Config, OptimiserConfig, override
from mp3net.data.dataset import CropDataset
from mp3net.dsp.mdct import mdct
from mp3net.errors import Mp3netError
from mp3net.training.loader import BatchLoader
from mp3net.training.parallel import Ranks
from mp3net.training.schedule import factor_at
from mp3net.training.trainer import Trainer
from tests.training.conftest import CPU, trainer

SMALL = Config(optimiser=OptimiserConfig(batch_size=2))


class SlowDisk:
    """A dataset whose every batch takes 0.1 s."""

    def batch(self, seed: int, first_index: int, count: int) -> torch.Tensor:
        time.sleep(0.1)
        if first_index >= 100:
            raise Mp3netError("the disk is gone")
        return torch.full((count, 1, 2), float(first_index))


def test_crops_are_those_of_the_dataset_whatever_was_expected(tiny, tiny_data):
    dataset = CropDataset(tiny_data, tiny.track_samples)
    loader = BatchLoader(dataset, tiny, CPU, Ranks())
    for tracks, following in (
        (range(4), range(4, 8)),
        (range(4, 8), range(8, 12)),
        (range(20, 22), range(4)),
        (range(4), range(4, 8)),
    ):
        assert torch.equal(loader.crops(tracks, following), dataset.batch(0, tracks.start, len(tracks)))


def test_a_batch_is_the_coefficients_of_its_crops_in_portions(tiny, tiny_data):
    config = override(tiny, ["optimiser.batch_size=8", "run.micro_batch_size=2"])
    dataset = CropDataset(tiny_data, tiny.track_samples)
    portions = list(BatchLoader(dataset, config, CPU, Ranks(1, 2)).batch(16))
    assert [portion.tracks for portion in portions] == [range(20, 22), range(22, 24)]
    for portion in portions:
        expected = mdct(dataset.batch(0, portion.tracks.start, 2), 16, edges="crop")
        assert torch.equal(portion.real, expected)


def test_steps_do_not_wait_while_reading_takes_less_time_than_computing():
    def waiting(ahead: bool) -> float:
        loader = BatchLoader(SlowDisk(), SMALL, CPU, Ranks())  # type: ignore[arg-type]
        elsewhere = range(50, 52)
        loader.crops(range(2), range(2, 4) if ahead else elsewhere)
        loader.waited_share()
        for start in range(2, 12, 2):
            following = range(start + 2, start + 4) if ahead else elsewhere
            assert float(loader.crops(range(start, start + 2), following)[0, 0, 0]) == start
            time.sleep(0.15)
        return loader.waited_share()

    assert waiting(ahead=True) < waiting(ahead=False) / 2


def test_what_goes_wrong_ahead_is_raised_when_it_is_needed():
    loader = BatchLoader(SlowDisk(), SMALL, CPU, Ranks())  # type: ignore[arg-type]
    loader.crops(range(2), range(100, 102))
    with pytest.raises(Mp3netError, match="the disk is gone"):
        loader.crops(range(100, 102), range(2))


def test_training_reads_ahead_what_comes_next(tiny, tiny_data):
    """Also over micro-batches: after the first batch every crop was already being read when it was first asked for; what
    the generator's step asks for first, the discriminator's next step gets without reading."""
    config = override(tiny, ["optimiser.batch_size=4", "model.stddev_group_size=2", "run.micro_batch_size=2"])
    session = trainer(config, tiny_data)
    loader, asked = session.loader, []
    single = loader.crops

    def watched(tracks, following):
        if tracks not in loader._kept:
            asked.append((tracks, loader._ahead[0] if loader._ahead else None))
        return single(tracks, following)

    loader.crops = watched
    session.steps.iteration()
    session.steps.iteration()
    assert [tracks for tracks, _ in asked] == [range(start, start + 2) for start in range(0, 20, 2)]
    assert all(tracks == ahead for tracks, ahead in asked[1:])


def test_factors_are_linear_between_points_and_constant_outside():
    points = ((100, 0.5), (200, 1.0), (300, 0.0))
    found = [factor_at(points, seen) for seen in (0, 100, 150, 200, 275, 300, 10_000)]
    assert found == pytest.approx([0.5, 0.5, 0.75, 1.0, 0.25, 0.0, 0.0])
    assert factor_at((), 5) == 1.0


def test_schedules_steer_learning_rate_and_penalty(tiny, tiny_data):
    def trained(*settings: str) -> Trainer:
        session = trainer(override(tiny, list(settings)), tiny_data)
        session.terms = [session.steps.iteration() for _ in range(3)]
        return session

    plain, falling = trained(), trained("optimiser.learning_rate_schedule=[[0, 1], [16, 1], [20, 0]]")
    assert falling.state.generator.optimiser.param_groups[0]["lr"] == 0
    assert falling.state.discriminator.optimiser.param_groups[0]["lr"] == 0
    same = [a == b for a, b in zip(falling.terms, plain.terms, strict=True)]
    assert same == [True, True, False]  # the discriminator's fifth step, after 16 tracks, is the last one at the full rate
    steady = trained("optimiser.learning_rate_schedule=[[0, 0.5]]")
    assert steady.state.generator.optimiser.param_groups[0]["lr"] == pytest.approx(0.5e-4)
    without = trained("objective.gradient_penalty_schedule=[[0, 0]]")
    terms = without.terms[0]
    assert terms["loss/discriminator"] == pytest.approx(
        -terms["distance/wasserstein"] + 0.1 * terms["penalty/drift"], abs=1e-6
    )
    assert terms["penalty/gradient"] > 0.01


@pytest.mark.parametrize(
    "points", ["[[5, 1], [5, 2]]", "[[9, 1], [5, 1]]", "[[-1, 1]]", "[[0, -1]]", "[[0]]", "7", '[["a", 1]]']
)
def test_bad_schedules_are_refused(tiny, points):
    with pytest.raises(Mp3netError, match="learning_rate_schedule"):
        override(tiny, [f"optimiser.learning_rate_schedule={points}"])
