from __future__ import annotations

import numpy as np
import pytest
import torch

from mp3net.dsp.reduced import fold, reduced_spectrogram


def slow_fold(amplitudes: np.ndarray) -> np.ndarray:
    frames, bins = amplitudes.shape
    folded = amplitudes[:, : bins // 2].copy()
    for t in range(frames):
        for k in range(bins // 4):
            for neighbour, weight in ((t - 1, 0.25), (t, 0.5), (t + 1, 0.25)):
                row = amplitudes[min(max(neighbour, 0), frames - 1)]
                folded[t, bins // 4 + k] += weight * (row[bins // 2 + 2 * k] + row[bins // 2 + 2 * k + 1]) / 2
    return folded


def test_folds_like_the_slow_version():
    amplitudes = torch.rand(2, 9, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    before = amplitudes.clone()
    expected = np.stack([slow_fold(channel) for channel in amplitudes.numpy()])
    np.testing.assert_allclose(fold(amplitudes).numpy(), expected, rtol=1e-14)
    once, twice = expected, np.stack([slow_fold(channel) for channel in expected])
    made = reduced_spectrogram(amplitudes, 2)
    for found, wanted in zip(made, (before.numpy(), once, twice), strict=True):
        np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-14)


def test_a_partial_meets_the_one_an_octave_lower():
    amplitudes = torch.zeros(5, 64)
    amplitudes[:, 51] = 0.8
    folded = fold(amplitudes)
    assert folded.nonzero()[:, 1].unique().tolist() == [25]
    torch.testing.assert_close(folded[:, 25], torch.full((5,), 0.4))


def test_refuses_what_would_cancel_or_cannot_be_halved():
    with pytest.raises(ValueError, match="none of them negative"):
        fold(torch.tensor([[0.1, 0.2, -0.1, 0.3]]))
    with pytest.raises(ValueError, match="66 bins"):
        fold(torch.rand(3, 66))
