"""The tables of the transforms, in float64, by numpy alone: what makes sound without PyTorch has the same as the networks.

Each function makes one table from the number of bins N and a few choices; `dsp/constants.py` keeps them as tensors and
`single` as arrays. Equations: `dsp/mdct.py` and `dsp/partials.py`, which use them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from functools import cache

import numpy as np

from mp3net.config import WindowName

# Bins on either side that hear a partial: what the Vorbis window lets through beyond them is less than -60 dB.
REACH_BINS = 8
# Bins that are computed together: the sum is a product with one small matrix for each such block.
BLOCK_BINS = 32
# Bins whose partials are expanded and added to what is around them together.
GROUP_BINS = 16
# How far one standard deviation of each latent of the phases turns a partial.
TURN_RADIANS = 2.0


@cache
def single(make: Callable[..., np.ndarray], num_bins: int, *choices: Hashable) -> np.ndarray:
    """make(num_bins, *choices) in single precision, kept and not to be changed."""
    value = make(num_bins, *choices)
    value = value.astype(np.complex64 if np.iscomplexobj(value) else np.float32)
    value.setflags(write=False)
    return value


def window(num_bins: int, name: WindowName) -> np.ndarray:
    """w_n (2 N,); symmetric, and w_n^2 + w_{n+N}^2 = 1 (Princen-Bradley).

    Vorbis (paper equation 3): sin(pi/2 sin^2(pi (n + 1/2) / 2N)); sine: sin(pi (n + 1/2) / 2N).
    """
    ramp: np.ndarray = np.sin(math.pi / (2 * num_bins) * (np.arange(2 * num_bins) + 0.5))
    if name == "sine":
        return ramp
    if name == "vorbis":
        shaped: np.ndarray = np.sin(math.pi / 2 * ramp**2)
        return shaped
    raise ValueError(f"window {name!r}: choose 'vorbis' or 'sine'")


def dct4_matrix(num_bins: int) -> np.ndarray:
    """(N, N): sqrt(2 / N) cos[(pi / N) (n + 1/2) (k + 1/2)], its own inverse."""
    grid = np.arange(num_bins) + 0.5
    matrix: np.ndarray = math.sqrt(2 / num_bins) * np.cos(math.pi / num_bins * np.outer(grid, grid))
    return matrix


def dct4_twiddle(num_bins: int) -> np.ndarray:
    """(N / 2,): g_n = exp(-i pi (8 n + 1) / 8N)."""
    n = np.arange(num_bins // 2)
    turns: np.ndarray = np.exp(-1j * math.pi * (8 * n + 1) / (8 * num_bins))
    return turns


def clock_period(num_bins: int, per_bin: int) -> np.ndarray:
    """(2, 4 R, F, R), cos and sin: pi nu_o t is (2 o + 1) t parts of 2 pi / 4 R, reduced as an integer to stay exact."""
    parts = 4 * per_bin
    turns = np.outer(np.arange(parts), 2 * np.arange(num_bins * per_bin) + 1) % parts
    by_bin = (2 * math.pi / parts * turns.astype(float)).reshape(parts, num_bins, per_bin)
    return np.stack([np.cos(by_bin), np.sin(by_bin)])


def fades(hold_frames: int) -> np.ndarray:
    """(2 H,) by how much an amplitude sounds in each of its frames, the first of which is frame -H / 2; (1,) for H = 1.

    Errors: ValueError if H is neither 1 nor even."""
    if hold_frames != 1 and (hold_frames < 1 or hold_frames % 2):
        raise ValueError(f"hold_frames = {hold_frames}: 1 or an even number")
    away = np.arange(2 * hold_frames if hold_frames > 1 else 1) + 0.5 - hold_frames // 2
    faded: np.ndarray = 1 - np.abs(away - hold_frames / 2) / hold_frames
    return faded


def responses(num_bins: int, per_bin: int, window_name: WindowName, hold_frames: int) -> np.ndarray:
    """(2, blocks, R x bins heard, frames x bins of a block): what multiplies amplitudes turned to their own frame, zero
    beyond the reach. The frames are those in which an amplitude sounds: each has its fade and the turn that is left."""
    block = min(BLOCK_BINS, num_bins)
    starts = np.arange(0, num_bins, block)[:, None, None]
    bins = starts + np.arange(block)
    heard = starts - REACH_BINS + np.arange(block + 2 * REACH_BINS)[:, None]
    partials, pieces = _near(heard, bins, num_bins, per_bin, window_name)
    fade = fades(hold_frames)
    frame = np.arange(len(fade)) - hold_frames // 2
    turn = fade * np.exp(1j * (math.pi * (partials + 0.5) / per_bin * frame))  # (blocks, partials, frames)
    parts = turn[..., None] * pieces[:, :, None]
    return np.stack([parts.real, -parts.imag]).reshape(2, len(starts), partials.shape[1], -1)


def spread(num_bins: int, per_bin: int, window_name: WindowName, group: int) -> np.ndarray:
    """(2, groups, R x bins of a group, group + 2 x reach): the same by the partials, for amplitudes of one frame. The bins
    that hear a group of so many bins begin as far below its first as partials reach."""
    starts = np.arange(0, num_bins, group)[:, None, None]
    bins = starts - REACH_BINS + np.arange(group + 2 * REACH_BINS)
    _, pieces = _near(starts + np.arange(group)[:, None], bins, num_bins, per_bin, window_name)
    return np.stack([pieces.real, -pieces.imag])


def _near(
    own: np.ndarray, bins: np.ndarray, num_bins: int, per_bin: int, window_name: WindowName
) -> tuple[np.ndarray, np.ndarray]:
    """The partials (n, R x a, 1) of some bins (n, a, 1), and what other bins (n, 1, b) hear of them within the reach."""
    near = (np.abs(bins - own) <= REACH_BINS) & (bins >= 0) & (bins < num_bins) & (own >= 0) & (own < num_bins)
    partials = (own * per_bin + np.arange(per_bin)).reshape(len(own), -1, 1)
    pieces = response(partials, bins, num_bins, per_bin, window_name) * np.repeat(near, per_bin, 1)
    pieces /= math.sqrt((np.abs(pieces) ** 2).sum() / num_bins)  # independent amplitudes of variance 1: mean square 1
    return partials, pieces


def response(partial: np.ndarray, bins: np.ndarray, num_bins: int, per_bin: int, window_name: WindowName) -> np.ndarray:
    """What bin k, in broadcast arrays, hears of partial o: the MDCT, complex and without its scale, of
    exp(j pi nu_o (n - N + 1/2) / N), nu_o = (o + 1/2) / R.

    With the window's spectrum D(x) = sum_n w_n exp(j pi x (n + 1/2) / N) and the cosine of the MDCT as two exponentials,

        1/2 exp(-j pi (nu + (k + 1/2) / 2)) D(nu - k - 1/2)  +  1/2 exp(-j pi (nu - (k + 1/2) / 2)) D(nu + k + 1/2).

    D is needed at multiples of 1 / 2R only: one Fourier transform, which repeats after 4 N R of them with its sign changed.
    """
    length = 4 * num_bins * per_bin
    shape = window(num_bins, window_name)
    spectrum = np.fft.ifft(shape, length) * length * np.exp(1j * math.pi / length * np.arange(length))
    twice = 2 * partial + 1  # 2 R nu
    middle = per_bin * (2 * bins + 1)  # 2 R (k + 1/2)
    below = spectrum[np.abs(twice - middle) % length]
    below = np.where(twice < middle, below.conj(), below)  # D(-x) is the conjugate of D(x)
    above = spectrum[(twice + middle) % length]
    turn = math.pi / (2 * per_bin)
    half = middle / 2
    both = np.exp(-1j * turn * (twice + half)) * below + np.exp(-1j * turn * (twice - half)) * above
    heard: np.ndarray = both / 2
    return heard


def phase_turns(num_bins: int, per_bin: int, phase_dim: int) -> np.ndarray:
    """(P, F R): what one standard deviation of each latent adds to the phase of each partial, in radians.

    Latents are normal, so the phase of a partial is normal with variance |column|^2, and the difference of two phases
    with |difference of the columns|^2. For P = 32 the standard deviations are about 11 and 16 radians: phases are uniform
    over the circle, and in pairs independent. The numbers are those of numpy's frozen generator, the same everywhere.
    """
    drawn = np.random.RandomState(0).standard_normal((phase_dim, num_bins * per_bin))
    return TURN_RADIANS * drawn
