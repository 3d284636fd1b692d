"""The places of partials are found where recordings have lines."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import soundfile
import torch

from mp3net.config import DataConfig, override
from mp3net.data.dataset import CropDataset
from mp3net.data.preparation import prepare
from mp3net.data.recordings import below
from mp3net.dsp import tables
from mp3net.model.build import build_networks
from mp3net.model.snapshot import open_snapshot, save_snapshot
from mp3net.training.tuning import chosen_places, mean_spectrum, measure_tuning
from tests.training.conftest import SECOND, trainer

TUNED = override(SECOND, ["model.partials_per_bin=3", "model.partial_places=16"])
RATE_HZ, NUM_BINS = 8000, 16
BIN_HZ = RATE_HZ / 2 / NUM_BINS
# Two in one bin, and none in most.
LINES_HZ = (333.0, 560.3, 719.0, 2222.0)


@pytest.fixture(scope="module")
def tones(tmp_path_factory) -> CropDataset:
    """Recordings of tones that begin anew every 0.4 s, over a little noise."""
    folder = tmp_path_factory.mktemp("tones") / "sounds"
    folder.mkdir()
    drawn, times = np.random.RandomState(0), np.arange(14 * RATE_HZ) / RATE_HZ
    for number in range(6):
        sound = 1e-3 * drawn.standard_normal(len(times))
        for line_hz in LINES_HZ:
            sound += 0.1 * np.exp(-3 * (times % 0.4)) * np.sin(2 * np.pi * line_hz * times + drawn.uniform(0, 7))
        soundfile.write(folder / f"{number}.wav", sound, RATE_HZ, subtype="PCM_16")
    prepare(below(folder), folder.parent / "data", DataConfig(sample_rate_hz=RATE_HZ, channels=1), 2)
    return CropDataset(folder.parent / "data", 2 * RATE_HZ)


def test_lines_have_their_partials(tones):
    networks = build_networks(TUNED)
    measure_tuning(tones, TUNED, networks)
    tuning = networks.generator.tuning
    assert tuning.grid == 16
    frequencies = (tuning.numbers + 0.5) / 16 * BIN_HZ
    spacing = BIN_HZ / 16
    for line_hz in LINES_HZ:
        assert np.abs(frequencies - line_hz).min() <= 0.51 * spacing, line_hz
    even = (tables.spaced(NUM_BINS, 3, 16) + np.arange(NUM_BINS)[:, None] * 16 + 0.5) / 16 * BIN_HZ
    assert max(np.abs(even - line_hz).min() for line_hz in LINES_HZ) > spacing
    quiet = [number for number in range(NUM_BINS) if not any(number - 1 <= line / BIN_HZ < number + 2 for line in LINES_HZ)]
    assert len(quiet) > 4


@pytest.mark.parametrize("grid", [3, 4, 8, 12])
def test_the_spectrum_is_that_of_the_middles_of_places(grid):
    """Against the transform of the definition."""
    piece = torch.from_numpy(np.random.RandomState(0).standard_normal((2, 700)).astype(np.float32))
    found = mean_spectrum(iter([piece]), 8, grid)
    window, n = np.hanning(257)[:256], np.arange(256)
    frames = np.stack([channel[start : start + 256] for channel in piece.numpy() for start in (0, 128, 256, 384)])
    waves = np.exp(-1j * np.pi * np.outer(n, (np.arange(8 * grid) + 0.5) / grid / 8))
    np.testing.assert_allclose(found, (np.abs((frames * window) @ waves) ** 2).mean(0), rtol=1e-4)


@pytest.mark.parametrize(("per_bin", "grid"), [(8, 32), (4, 4), (3, 7), (1, 5)])
def test_places_rise_and_fit_their_bins_whatever_the_spectrum(per_bin, grid):
    drawn = np.random.RandomState(0)
    for wild in (0.0, 0.3, 1.0, 5.0):
        places = chosen_places(np.exp(wild * drawn.standard_normal((50, grid))), per_bin)
        assert places.dtype == np.float32
        assert places.min() >= 0
        assert places.max() < grid
        assert (np.diff(places, axis=1) >= 1).all()


def test_without_lines_partials_are_even_and_beside_lines_there_is_no_wide_gap():
    even = tables.spaced(6, 8, 32)
    np.testing.assert_array_equal(chosen_places(np.ones((6, 32)), 8), even)
    np.testing.assert_array_equal(chosen_places(np.zeros((6, 32)), 8), even)
    power = np.ones((6, 32))
    power[2, 9], power[3, [0, 30]], power[4, [3, 5, 7, 9, 11, 13, 15, 17, 19]] = 100, 100, np.arange(9) + 10
    places = chosen_places(power, 8)
    for number in (0, 1, 5):
        np.testing.assert_array_equal(places[number], even[number])
    assert 9 in places[2]
    assert {0, 30} <= set(places[3])
    assert places[4].tolist() == [5, 7, 9, 11, 13, 15, 17, 19]  # the strongest of nine
    for number in (2, 3):
        assert max(b - a for a, b in pairwise([-2, *places[number], 34])) <= 7


def test_a_fresh_training_measures_them_and_one_that_begins_with_weights_keeps_theirs(tones, tmp_path):
    fresh = trainer(TUNED, tones.store, tmp_path / "fresh")
    found = fresh.state.networks.generator
    assert not np.array_equal(found.partials, tables.spaced(NUM_BINS, 3, 16))
    assert fresh.state.ema.network.tuning == found.tuning
    with torch.no_grad():
        found.partials[:] = torch.tensor([1.0, 2.0, 3.0])
    weights = found.state_dict(), fresh.state.networks.discriminator.state_dict()
    save_snapshot(tmp_path / "snapshot", TUNED, *weights, {"tracks_seen": 0})
    later = trainer(TUNED, tones.store, init_from=open_snapshot(tmp_path / "snapshot"))
    assert later.state.networks.generator.tuning.places[:4] == (1, 2, 3, 1)
