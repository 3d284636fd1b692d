"""The reduced spectrogram (paper section 5, figure 6): all octaves above a limit folded onto the one below it."""

from __future__ import annotations

import torch
from torch import Tensor


def fold(amplitudes: Tensor) -> Tensor:
    """Linear amplitudes (..., T, F) -> (..., T, F / 2): the highest octave is blurred and added to the octave below.

    The highest octave, bins F / 2 to F, has twice as many bins as the octave below, F / 4 to F / 2. Bins 2 k and 2 k + 1 are
    averaged, so that what sounds at the frequency f is added where f / 2 lies: a partial meets the one an octave lower, and
    the notes of a chord come to lie upon each other as in a score. Along frames, (1, 2, 1) / 4 evens out the flicker of MDCT
    coefficients, which is fastest in high bins (dsp/baseband.py).

    Errors: ValueError if F is no multiple of 4, or for negative amplitudes, which would cancel where they meet.
    """
    num_bins = amplitudes.shape[-1]
    if num_bins % 4:
        raise ValueError(f"{num_bins} bins: an octave can be folded where their number is a multiple of 4")
    if bool((amplitudes < 0).any()):
        raise ValueError("fold needs linear amplitudes, none of them negative")
    highest = (amplitudes[..., num_bins // 2 :: 2] + amplitudes[..., num_bins // 2 + 1 :: 2]) / 2
    padded = torch.cat([highest[..., :1, :], highest, highest[..., -1:, :]], -2)
    blurred = (padded[..., :-2, :] + 2 * padded[..., 1:-1, :] + padded[..., 2:, :]) / 4
    below = amplitudes[..., : num_bins // 2].clone()
    below[..., num_bins // 4 :] += blurred
    return below


def reduced_spectrogram(amplitudes: Tensor, num_folds: int) -> list[Tensor]:
    """[(..., T, F), (..., T, F / 2), (..., T, F / 4) ...]: the amplitudes, and after each of `num_folds` folds."""
    made = [amplitudes]
    for _ in range(num_folds):
        made.append(fold(made[-1]))
    return made
