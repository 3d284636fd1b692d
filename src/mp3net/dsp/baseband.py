"""The baseband of the MDCT: coordinates in which a steady sound stands still (docs/method.md).

A steady sine of frequency (k0 + 1/2 + d) f_s / 2N makes the MDCT coefficient of bin k0 swing from frame to frame: its phase
advances by pi (k0 + 1/2 + d), forwards in even bins and backwards in odd ones. With the MDST S (the same sum with sin for
cos) as the imaginary part, and turned back by the phase of the bin's middle frequency at the centre of the frame,

    c_k(t) = I + jQ = (A_k(t) - j S_k(t)) exp(-j theta_k(t)),    theta_k(t) = pi (k + 1/2) (t - 3/2),

the same sine has a constant magnitude and turns by exactly pi d per frame. Nothing is lost: A = I cos theta - Q sin theta.

All tensors are (..., T, F), frames by bins, of pieces of longer tracks (`edges="crop"` of `dsp.mdct`).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mp3net.config import WindowName
from mp3net.dsp.constants import constant
from mp3net.dsp.mdct import imdct, mdct

# Carriers repeat after this many frames, whatever the bin.
CARRIER_FRAMES = 4
# A level of 1 is 14 dB above the masking threshold.
LEVEL_SCALE = 0.3


def mdst(coefficients: Tensor, window_name: WindowName = "vorbis") -> Tensor:
    """MDCT coefficients (..., T, F) -> MDST coefficients (..., T, F) of the audio that they describe.

        S_k(m) = 1 / (sqrt(2) N)  sum_{n=0}^{2N-1} x(mN + n) w_n sin[ (pi / N) (n + 1/2 + N/2) (k + 1/2) ]

    Reversed in time, n becomes 2N - 1 - n, and the angle of the sum (2N + N)(k + 1/2) pi / N minus itself: cos turns into
    -(-1)^k sin. So the MDST is the MDCT of the reversed audio, in reverse, with these signs. The first and the last frame
    lack the neighbour that cancels their aliasing; the given coefficients determine them all the same.
    """
    num_bins = coefficients.shape[-1]
    backwards = mdct(imdct(coefficients, window_name, edges="crop").flip(-1), num_bins, window_name, edges="crop")
    return backwards.flip(-2) * constant(_signs, num_bins, coefficients)


def carriers(num_frames: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """cos and sin of theta_k(t), each (T, F), for the bins, precision and device of `like`."""
    period = constant(_carrier_period, like.shape[-1], like)
    cosine, sine = period.repeat(1, -(-num_frames // CARRIER_FRAMES), 1)[:, :num_frames].unbind()
    return cosine, sine


def baseband(coefficients: Tensor, window_name: WindowName = "vorbis") -> tuple[Tensor, Tensor]:
    """MDCT coefficients (..., T, F) -> I and Q of the baseband, each (..., T, F). Linear and differentiable.

    White noise in A is equally strong in I and Q, and white in both except for what neighbouring frames share (half of their
    samples; a correlation of 0.24 with the Vorbis window).
    Errors: ValueError for an odd number of bins or a dtype other than float32 and float64.
    """
    cosine, sine = carriers(coefficients.shape[-2], coefficients)
    quadrature = mdst(coefficients, window_name)
    return coefficients * cosine - quadrature * sine, -coefficients * sine - quadrature * cosine


def audible_level(power: Tensor, threshold: Tensor) -> Tensor:
    """Power and masking threshold m (amplitude) -> 0.3 log(1 + |c|^2 / m^2), how far a bin stands out; 0: inaudible."""
    return LEVEL_SCALE * torch.log1p(power / threshold.square())


def _signs(num_bins: int) -> Tensor:
    return -((-1.0) ** torch.arange(num_bins, dtype=torch.float64))


def _carrier_period(num_bins: int) -> Tensor:
    """(2, 4, F): theta is (2 t - 3) (2 k + 1) quarters of pi, an odd number, reduced as an integer to stay exact."""
    quarters = torch.outer(2 * torch.arange(CARRIER_FRAMES) - 3, 2 * torch.arange(num_bins) + 1) % 8
    angle = quarters.double() * (math.pi / 4)
    return torch.stack([torch.cos(angle), torch.sin(angle)])
