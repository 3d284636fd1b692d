"""The inverse MDCT of `dsp/mdct.py` by numpy alone, in single precision."""

from __future__ import annotations

import math

import numpy as np

from mp3net.config import WindowName
from mp3net.dsp import tables

# Up to this many bins one N x N matrix product is faster than numpy's FFT, which computes on one core.
MATRIX_MAX_BINS = 512
# As many coefficients are inverted together: what is made on the way stays in the processor's cache.
PIECE_NUMBERS = 2**18


def inverse(coefficients: np.ndarray, window_name: WindowName = "vorbis") -> np.ndarray:
    """Coefficients (C, T, F) -> audio (C, (T - 1) F): what `imdct` gives, every sample with its aliasing cancelled."""
    hops, some = coefficients.shape[1] - 1, max(PIECE_NUMBERS // (len(coefficients) * coefficients.shape[-1]), 1)
    made = np.empty((len(coefficients), hops, coefficients.shape[-1]), np.float32)
    for start in range(0, hops, some):
        end = min(start + some, hops)
        made[:, start:end] = _hops(coefficients[:, start : end + 1], window_name)
    return made.reshape(len(made), -1)


def _hops(coefficients: np.ndarray, window_name: WindowName) -> np.ndarray:
    """(C, T, N) -> (C, T - 1, N)."""
    num_bins = coefficients.shape[-1]
    folded = _dct4(coefficients) * np.float32(math.sqrt(4 * num_bins))
    w = tables.single(tables.window, num_bins, window_name)
    u, v = folded[..., : num_bins // 2], folded[..., num_bins // 2 :]
    audio = np.concatenate([v[:, 1:], -v[:, 1:, ::-1]], -1)
    audio *= w[:num_bins]
    tail = np.concatenate([u[:, :-1, ::-1], u[:, :-1]], -1)
    tail *= w[num_bins:]
    audio -= tail
    return audio


def _dct4(x: np.ndarray) -> np.ndarray:
    num_bins = x.shape[-1]
    if num_bins <= MATRIX_MAX_BINS:
        product: np.ndarray = x @ tables.single(tables.dct4_matrix, num_bins)
        return product
    twiddle = tables.single(tables.dct4_twiddle, num_bins)
    packed = np.empty((*x.shape[:-1], num_bins // 2), np.complex64)
    packed.real, packed.imag = x[..., 0::2], x[..., ::-2]
    spectrum = (np.fft.fft(packed * twiddle) * twiddle) * np.float32(math.sqrt(2 / num_bins))
    found = np.empty_like(x)
    found[..., 0::2], found[..., ::-2] = spectrum.real, -spectrum.imag
    return found
