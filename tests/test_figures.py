from __future__ import annotations

import numpy as np
import pytest

from mp3net.figures import save_png, spectrogram_db, spectrogram_grid, to_rgb


def test_a_full_scale_sine_is_0_db_at_its_frequency():
    time = np.arange(22016) / 22016
    level = spectrogram_db(np.sin(2 * np.pi * 1720 * time)[None].astype(np.float32), 22016)
    middle = level[:, level.shape[1] // 2]
    frequencies = np.linspace(0, 11008, len(middle))
    assert frequencies[middle.argmax()] == pytest.approx(1720, abs=11)
    assert middle.max() == pytest.approx(0, abs=1.5)  # at most 1.4 dB is lost between two bins of a Hann window
    assert middle[frequencies > 3000].max() < -80


def test_grid_of_unequal_rows(tmp_path):
    clip = np.random.default_rng(0).standard_normal((2, 4000)).astype(np.float32)
    figure = spectrogram_grid([("real", [clip, clip]), ("generated", [clip])], 8000)
    pixels = to_rgb(figure)
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert len(np.unique(pixels)) > 50
    save_png(figure, tmp_path / "x.png")
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]
    assert (tmp_path / "x.png").read_bytes()[:4] == b"\x89PNG"
