"""Power spectrograms, and the lengths of their windows."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def power_of_two(number: float) -> int:
    """The power of two that is nearest on a logarithmic scale."""
    return int(2 ** round(math.log2(number)))


def power_spectrogram(sound: Tensor, length: int, hop: int) -> Tensor:
    """(..., S) -> power (..., frequencies, frames) of Hann windows; a full-scale sine reaches 1 (0 dB)."""
    window = torch.hann_window(length)
    flat = sound.reshape(-1, sound.shape[-1])
    spectrum = torch.stft(flat, length, hop, window=window, pad_mode="constant", return_complex=True)
    power = (spectrum.abs() * (2 / window.sum())).square()
    return power.reshape(*sound.shape[:-1], *power.shape[-2:])
