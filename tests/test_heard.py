"""benchmarks/heard.py: near 1 for clips that are as recordings, far above it for those that are not, and for the reason."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
CLIPS, FRAMES, BINS = 24, 40, 256
LEVEL, LOUDNESS = 0, 5


@pytest.fixture
def heard(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("heard")


def clips(seed: int, count: int = CLIPS) -> Tensor:
    """Features (n, T, 6, F): noise in every bin, at a level of its own for each clip."""
    source = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, FRAMES, 6, BINS, generator=source)
    return noise + torch.randn(count, 1, 6, BINS, generator=source)


def test_of_clips_of_one_kind_every_statistic_is_near_one(heard):
    for name, statistic in heard.statistics().items():
        values = [heard.in_chances(statistic, clips(seed, 2 * CLIPS), clips(seed + 50)) for seed in range(6)]
        assert 0.8 < sum(values) / len(values) < 1.2, (name, values)


def test_what_differs_is_named(heard):
    """Bands that rise and fall together are no other distribution, and a shifted level does not move otherwise."""
    real, together, shifted = clips(1, 2 * CLIPS), clips(2), clips(3)
    common = torch.randn(CLIPS, FRAMES, 1, generator=torch.Generator().manual_seed(4))
    together[:, :, LOUDNESS] = together[:, :, LOUDNESS] * 0.5**0.5 + common * 0.5**0.5
    shifted[:, :, LEVEL] += 1.0
    found = {
        name: (heard.in_chances(statistic, real, together), heard.in_chances(statistic, real, shifted))
        for name, statistic in heard.statistics().items()
    }
    assert found["loudness: steps of bands after 4 frames"][0] > 30 > 1.5 > found["level: steps of bands after 4 frames"][0]
    assert found["loudness: bands at once"][0] > 30
    assert found["level: mean"][1] > 10 > 1.5 > found["level: bands at once"][1]
    assert found["level: distribution"][1] > 5
    assert max(found["loudness: mean"]) < 2


def test_partials_elsewhere_in_their_bins_are_heard_in_their_harmonic(heard):
    real, tuned = clips(1, 2 * CLIPS), clips(2)
    turned = torch.exp(
        0.5j * torch.randint(2, (CLIPS, FRAMES, BINS), generator=torch.Generator().manual_seed(5)) * 2 * torch.pi
    )  # opposite places: an even harmonic
    tuned[:, :, 3], tuned[:, :, 4] = turned.real, turned.imag
    assert heard.in_chances(heard.turn(2), real, tuned) > 30
    assert heard.in_chances(heard.turn(1), real, tuned) < 5
