"""The modified discrete cosine transform (paper section 2.1, equations 1-4).

A frame is two hops of audio, and one hop holds as many samples as a frame has bins (N):

    A_k(m) = 1 / (sqrt(2) N)  sum_{n=0}^{2N-1} x(mN + n) w_n cos[ (pi / N) (n + 1/2 + N/2) (k + 1/2) ]

The scale makes the transform an orthonormal DCT-IV of the folded, windowed frame divided by sqrt(4N), as in the
authors' code: a full-scale sine reaches |A| = 0.43 and sum A^2 = sum x^2 / (4N).

Folding (time-domain aliasing) turns the 2N windowed samples (a, b, c, d), each N/2 long, into N numbers whose DCT-IV is
the MDCT: (-c_r - d, a - b_r), where _r means reversed. The DCT-IV is its own inverse.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from mp3net.config import WindowName
from mp3net.dsp import tables
from mp3net.dsp.constants import constant

Edges = Literal["zeros", "crop"]

# Up to this many bins one N x N matrix product is faster than the FFT (benchmarks/mdct.py; docs/results.md).
MATMUL_MAX_BINS = 128


# As many coefficients are inverted together where no gradients are wanted.
PIECE_NUMBERS = 2**18


def window(name: WindowName, num_bins: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """The window w_n (2 x num_bins,) of `tables.window`. Errors: ValueError for an odd number of bins or an unknown name."""
    _check_num_bins(num_bins)
    return torch.from_numpy(tables.window(num_bins, name)).to(dtype)


def mdct(audio: Tensor, num_bins: int, window_name: WindowName = "vorbis", edges: Edges = "zeros") -> Tensor:
    """Audio (..., S) in [-1, 1] -> coefficients (..., T, F), F = num_bins; paper equation (2).

    edges="zeros": the audio is a whole track. It is extended by zeros to whole hops and by one hop of zeros on both
    sides, so T = ceil(S / N) + 1 and `imdct` gives back every sample.
    edges="crop": the audio is a piece of a longer track, S = (T + 1) N; no zeros are added.

    Raises ValueError for an odd number of bins, non-float audio or an S that edges="crop" cannot frame.
    """
    _check_num_bins(num_bins)
    _check_float(audio)
    samples = audio.shape[-1]
    if edges == "zeros":
        audio = F.pad(audio, (num_bins, num_bins + -samples % num_bins))
    elif samples % num_bins or samples < 2 * num_bins:
        raise ValueError(f"{samples} samples: a crop needs (frames + 1) x {num_bins} samples, at least {2 * num_bins}")
    with torch.autocast(audio.device.type, enabled=False):
        hops = audio.reshape(*audio.shape[:-1], -1, num_bins)
        return _dct4(_fold(hops, _window_on(window_name, num_bins, audio))) / math.sqrt(4 * num_bins)


def imdct(coefficients: Tensor, window_name: WindowName = "vorbis", edges: Edges = "zeros") -> Tensor:
    """Coefficients (..., T, F) -> audio (..., S) by overlap-add; the inverse of `mdct` with the same arguments.

    edges="crop": all (T + 1) N samples. The first and last N lack the neighbour that cancels their aliasing: they are
    only meaningful where that neighbour is known to be zero.
    edges="zeros": those are left out, S = (T - 1) N, every one exact up to rounding.
    """
    num_bins = coefficients.shape[-1]
    _check_num_bins(num_bins)
    _check_float(coefficients)
    with torch.autocast(coefficients.device.type, enabled=False):
        if edges == "zeros" and not torch.is_grad_enabled() and coefficients.device.type == "cpu":
            return _in_pieces(coefficients, window_name).flatten(-2)
        hops = _hops(coefficients, window_name)
        return (hops[..., 1:-1, :] if edges == "zeros" else hops).flatten(-2)


def _hops(coefficients: Tensor, window_name: WindowName) -> Tensor:
    """(..., T, N) -> the overlapping windowed frames, summed (..., T + 1, N)."""
    num_bins = coefficients.shape[-1]
    folded = _dct4(coefficients) * math.sqrt(4 * num_bins)
    return _unfold(folded, _window_on(window_name, num_bins, coefficients))


def _in_pieces(coefficients: Tensor, window_name: WindowName) -> Tensor:
    """The same hops without the first and the last, some frames at a time: what is made on the way stays in the cache."""
    hops = coefficients.shape[-2] - 1
    some = max(PIECE_NUMBERS * coefficients.shape[-2] // max(coefficients.numel(), 1), 1)
    made = coefficients.new_empty(*coefficients.shape[:-2], hops, coefficients.shape[-1])
    for start in range(0, hops, some):
        end = min(start + some, hops)
        made[..., start:end, :] = _hops(coefficients[..., start : end + 1, :], window_name)[..., 1:-1, :]
    return made


def _fold(hops: Tensor, w: Tensor) -> Tensor:
    """Hops (..., T + 1, N) -> folded frames (..., T, N)."""
    num_bins = hops.shape[-1]
    half = num_bins // 2
    first = hops[..., :-1, :] * w[:num_bins]
    second = hops[..., 1:, :] * w[num_bins:]
    a, b, c, d = first[..., :half], first[..., half:], second[..., :half], second[..., half:]
    return torch.cat([-c.flip(-1) - d, a - b.flip(-1)], dim=-1)


def _unfold(folded: Tensor, w: Tensor) -> Tensor:
    """Folded frames (..., T, N) -> hops (..., T + 1, N): the transpose of `_fold`."""
    num_bins = folded.shape[-1]
    half = num_bins // 2
    u, v = folded[..., :half], folded[..., half:]
    first = torch.cat([v, -v.flip(-1)], dim=-1) * w[:num_bins]
    second = torch.cat([-u.flip(-1), -u], dim=-1) * w[num_bins:]
    overlapping = first[..., 1:, :] + second[..., :-1, :]
    return torch.cat([first[..., :1, :], overlapping, second[..., -1:, :]], dim=-2)


def _dct4(x: Tensor) -> Tensor:
    """Orthonormal DCT-IV over the last axis: sqrt(2/N) sum_n x_n cos[(pi/N) (n + 1/2) (k + 1/2)]."""
    num_bins = x.shape[-1]
    if num_bins <= MATMUL_MAX_BINS:
        return x @ constant(tables.dct4_matrix, num_bins, x)
    return _dct4_fft(x)


def _dct4_fft(x: Tensor) -> Tensor:
    """The same through a complex FFT of N/2 points.

    With t_n = (x_2n + i x_{N-1-2n}) g_n, g_n = exp(-i pi (8n + 1) / 8N), and y_k = g_k FFT(t)_k, the even outputs are
    Re y_k = X_2k and the odd ones, read backwards, -Im y_k = X_{N-1-2k}.
    """
    num_bins = x.shape[-1]
    twiddle = constant(tables.dct4_twiddle, num_bins, x)
    packed = torch.complex(x[..., 0::2].contiguous(), x[..., 1::2].flip(-1)) * twiddle
    spectrum = torch.fft.fft(packed) * twiddle
    pairs = torch.stack([spectrum.real, -spectrum.imag.flip(-1)], dim=-1)
    return pairs.flatten(-2) * math.sqrt(2 / num_bins)


def _window_on(name: WindowName, num_bins: int, like: Tensor) -> Tensor:
    return constant(tables.window, num_bins, like, name)


def _check_num_bins(num_bins: int) -> None:
    if num_bins < 2 or num_bins % 2:
        raise ValueError(f"num_bins = {num_bins}: the MDCT needs an even number of bins, at least 2")


def _check_float(values: Tensor) -> None:
    if values.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"the MDCT works in float32 or float64, not {values.dtype}: convert first")
