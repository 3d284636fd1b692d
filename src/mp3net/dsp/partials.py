"""Partials: the MDCT coefficients of steady sounds on a fine grid of frequencies, from slow complex amplitudes.

A network whose layers treat all frames alike, and which doubles frames by interpolation, has no clock: it can make an
oscillation from frame to frame only out of noise, so its held notes are narrow bands of noise. Here the oscillation is
given. Partial o of R per bin has the frequency nu_o = (o + 1/2) / R bins and turns by pi nu_o per frame:

    A_k(t) = Re sum_o M_ko z_o(t) exp(j pi nu_o t)

where z = u + jv are the network's amplitudes and M_ko is the response of bin k to exp(j pi nu_o (n - N + 1/2) / N), which
is what the window spreads over the bins nearby. So a held note of any pitch is an amplitude that turns by at most
pi / 2R per frame, and all bins that hear it agree. Anything else can be made as well: there are 2 R numbers per coefficient.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from mp3net.config import WindowName
from mp3net.dsp.constants import constant
from mp3net.dsp.mdct import window

# Bins on either side that hear a partial: what the Vorbis window lets through beyond them is less than -60 dB.
REACH_BINS = 8
# Bins that are computed together: the sum is a product with one small matrix for each such block.
BLOCK_BINS = 64


def render(amplitudes: Tensor, window_name: WindowName = "vorbis", turns: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """Amplitudes (..., T, 2, F, R), real and imaginary, of partials o = k R + r -> MDCT coefficients (..., T, F).

    `turns` is the `clock` of these frames, made here if it is not given. Linear and differentiable. Independent amplitudes
    of variance 1 give coefficients of mean square 1.
    """
    num_bins, per_bin = amplitudes.shape[-2:]
    u, v = amplitudes.unbind(-3)
    cosine, sine = clock(u.shape[-3], u) if turns is None else turns
    real, imaginary = constant(_responses, num_bins, u, per_bin, window_name)  # (blocks, R x bins heard, bins) each
    made = torch.bmm(_heard(u * cosine - v * sine, len(real)), real)
    made = torch.baddbmm(made, _heard(u * sine + v * cosine, len(real)), imaginary)
    return made.transpose(0, 1).reshape(*u.shape[:-2], -1)[..., :num_bins]


def _heard(turned: Tensor, blocks: int) -> Tensor:
    """(..., F, R) -> (blocks, frames, R x bins heard): for each block of bins those that it hears, without copying them."""
    num_bins, per_bin = turned.shape[-2:]
    block = min(BLOCK_BINS, num_bins)
    beyond = blocks * block - num_bins + REACH_BINS
    padded = F.pad(turned.flatten(-2), (REACH_BINS * per_bin, beyond * per_bin))
    near = padded.flatten(0, -2).unfold(-1, (block + 2 * REACH_BINS) * per_bin, block * per_bin)
    return near.transpose(0, 1)


def clock_frames(per_bin: int) -> int:
    """After so many frames the clock of R partials per bin begins anew."""
    return 4 * per_bin


def clock(num_frames: int, like: Tensor, angles: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """cos and sin of pi nu_o t + angle_o, each (..., T, F, R), for the partials, precision and device of `like` (..., F, R).

    `angles` (..., 1, F, R) are where the partials begin, in radians: all at 0 without them.
    """
    cosine, sine = constant(_clock_period, like.shape[-2], like, like.shape[-1]).unbind()
    if angles is not None:
        begin, across = angles.cos(), angles.sin()
        cosine, sine = cosine * begin - sine * across, sine * begin + cosine * across
    times = -(-num_frames // cosine.shape[-3])
    cosine, sine = (torch.cat([period] * times, -3)[..., :num_frames, :, :] for period in (cosine, sine))
    return cosine, sine


def _clock_period(num_bins: int, per_bin: int) -> Tensor:
    """(2, 4 R, F, R): pi nu_o t is (2 o + 1) t parts of 2 pi / 4 R, reduced as an integer to stay exact."""
    parts = clock_frames(per_bin)
    angle = torch.outer(torch.arange(parts), 2 * torch.arange(num_bins * per_bin) + 1) % parts * (2 * math.pi / parts)
    by_bin = angle.double().view(parts, num_bins, per_bin)
    return torch.stack([by_bin.cos(), by_bin.sin()])


def _responses(num_bins: int, per_bin: int, window_name: WindowName) -> Tensor:
    """(2, blocks, R x bins heard, bins of a block): what multiplies the turned amplitudes, zero beyond the reach."""
    whole = response(num_bins, per_bin, window_name)
    k = torch.arange(num_bins)
    near = (k[:, None] - k[None]).abs() <= REACH_BINS
    whole = whole * near.repeat_interleave(per_bin, 1)
    whole = whole / whole.abs().square().sum(1).mean().sqrt()
    parts = torch.stack([whole.real, -whole.imag]).transpose(1, 2)  # (2, source partials, F)
    block = min(BLOCK_BINS, num_bins)
    blocks = -(-num_bins // block)
    beyond = blocks * block - num_bins
    padded = F.pad(parts, (0, beyond, REACH_BINS * per_bin, (REACH_BINS + beyond) * per_bin))
    length = (block + 2 * REACH_BINS) * per_bin
    starts = [n * block for n in range(blocks)]
    return torch.stack([padded[:, start * per_bin :][:, :length, start : start + block] for start in starts], 1)


def response(num_bins: int, per_bin: int, window_name: WindowName) -> Tensor:
    """The MDCT (F, F R), complex, without its scale, of exp(j pi nu_o (n - N + 1/2) / N), in float64.

    With the window's spectrum D(x) = sum_n w_n exp(j pi x (n + 1/2) / N) and the cosine of the MDCT as two exponentials,

        1/2 exp(-j pi (nu + (k + 1/2) / 2)) D(nu - k - 1/2)  +  1/2 exp(-j pi (nu - (k + 1/2) / 2)) D(nu + k + 1/2).

    D is needed at multiples of 1 / 2R only: one Fourier transform.
    """
    length = 4 * num_bins * per_bin
    steps = torch.arange(length, dtype=torch.float64)
    shape = window(window_name, num_bins)
    spectrum = torch.fft.ifft(shape, length) * length * torch.exp(1j * math.pi / length * steps)
    partial = 2 * torch.arange(num_bins * per_bin)[None] + 1  # 2 R nu
    middle = per_bin * (2 * torch.arange(num_bins)[:, None] + 1)  # 2 R (k + 1/2)
    below = spectrum[(partial - middle).abs()]
    below = torch.complex(below.real, below.imag * (partial - middle).sign())  # D(-x) is the conjugate of D(x)
    above = spectrum[partial + middle]
    turn = math.pi / (2 * per_bin)
    both: Tensor = torch.exp(-1j * turn * (partial + middle / 2)) * below
    both = both + torch.exp(-1j * turn * (partial - middle / 2)) * above
    return both / 2
