"""The tables of the transforms, in float64, by numpy alone: what makes sound without PyTorch has the same as the networks.

Each function makes one table from the number of bins N, or from where partials lie, and a few choices; `dsp/constants.py`
keeps them as tensors and `single` as arrays. Equations: `dsp/mdct.py` and `dsp/partials.py`, which use them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cache

import numpy as np

from mp3net.config import WindowName
from mp3net.errors import Mp3netError

# Bins on either side that hear a partial: what the Vorbis window lets through beyond them is less than -60 dB.
REACH_BINS = 8
# Bins that are computed together: the sum is a product with one small matrix for each such block.
BLOCK_BINS = 32
# Bins whose partials are expanded and added to what is around them together.
GROUP_BINS = 16
# How far one standard deviation of each latent of the phases turns a partial.
TURN_RADIANS = 2.0


@dataclass(frozen=True)
class Tuning:
    """Where partials lie: partial r of bin k at nu = k + (i + 1/2) / P bins, i being one of the bin's P places.

    `places` are the i of all partials, R of each bin in rising order, one bin after the other. All partials turn by whole
    parts of 2 pi / 4 P per frame, so that their clock begins anew after 4 P frames, and with its sign changed after 2 P.
    """

    num_bins: int
    per_bin: int
    grid: int
    places: tuple[int, ...]

    @classmethod
    def even(cls, num_bins: int, per_bin: int) -> Tuning:
        """At (r + 1/2) / R of each bin: P = R, and all places are taken."""
        return cls(num_bins, per_bin, per_bin, tuple(range(per_bin)) * num_bins)

    @classmethod
    def of(cls, places: np.ndarray, grid: int) -> Tuning:
        """Places (F, R), whole numbers from 0 to P - 1. Errors: Mp3netError if they are anything else."""
        if not (np.isin(places, np.arange(grid)).all() and places.ndim == 2):
            raise Mp3netError(f"the places of partials are no whole numbers from 0 to {grid - 1}: the weights are damaged")
        return cls(len(places), places.shape[1], grid, tuple(np.ravel(places).astype(int).tolist()))

    @property
    def numbers(self) -> np.ndarray:
        """(F, R): o = k P + i, the places counted from the lowest bin on."""
        return np.array(self.places).reshape(self.num_bins, self.per_bin) + self.grid * np.arange(self.num_bins)[:, None]

    @property
    def period_frames(self) -> int:
        """After so many frames the clock begins anew."""
        return 4 * self.grid


def spaced(num_bins: int, per_bin: int, grid: int) -> np.ndarray:
    """(F, R) places for R partials per bin that are as even as P places allow."""
    return np.tile(np.floor((np.arange(per_bin) + 0.5) * grid / per_bin).astype(np.float32), (num_bins, 1))


@cache
def single(make: Callable[..., np.ndarray], basis: int | Tuning, *choices: Hashable) -> np.ndarray:
    """make(basis, *choices) in single precision, kept and not to be changed."""
    value = make(basis, *choices)
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


def clock_period(tuning: Tuning) -> np.ndarray:
    """(2, 4 P, F, R), cos and sin: pi nu_o t is (2 o + 1) t parts of 2 pi / 4 P, reduced as an integer to stay exact."""
    parts = tuning.period_frames
    turns = np.arange(parts)[:, None, None] * (2 * tuning.numbers + 1) % parts
    by_bin = 2 * math.pi / parts * turns.astype(float)
    return np.stack([np.cos(by_bin), np.sin(by_bin)])


def fades(hold_frames: int) -> np.ndarray:
    """(2 H,) by how much an amplitude sounds in each of its frames, the first of which is frame -H / 2; (1,) for H = 1.

    Errors: ValueError if H is neither 1 nor even."""
    if hold_frames != 1 and (hold_frames < 1 or hold_frames % 2):
        raise ValueError(f"hold_frames = {hold_frames}: 1 or an even number")
    away = np.arange(2 * hold_frames if hold_frames > 1 else 1) + 0.5 - hold_frames // 2
    faded: np.ndarray = 1 - np.abs(away - hold_frames / 2) / hold_frames
    return faded


def responses(tuning: Tuning, window_name: WindowName, hold_frames: int) -> np.ndarray:
    """(2, blocks, R x bins heard, frames x bins of a block): what multiplies amplitudes turned to their own frame, zero
    beyond the reach. The frames are those in which an amplitude sounds: each has its fade and the turn that is left."""
    block = min(BLOCK_BINS, tuning.num_bins)
    starts = np.arange(0, tuning.num_bins, block)[:, None, None]
    bins = starts + np.arange(block)
    heard = starts - REACH_BINS + np.arange(block + 2 * REACH_BINS)[:, None]
    partials, pieces = _near(heard, bins, tuning, window_name)
    fade = fades(hold_frames)
    frame = np.arange(len(fade)) - hold_frames // 2
    turn = fade * np.exp(1j * (math.pi * (partials + 0.5) / tuning.grid * frame))  # (blocks, partials, frames)
    parts = turn[..., None] * pieces[:, :, None]
    return np.stack([parts.real, -parts.imag]).reshape(2, len(starts), partials.shape[1], -1)


def spread(tuning: Tuning, window_name: WindowName, group: int) -> np.ndarray:
    """(2, groups, R x bins of a group, group + 2 x reach): the same by the partials, for amplitudes of one frame. The bins
    that hear a group of so many bins begin as far below its first as partials reach."""
    starts = np.arange(0, tuning.num_bins, group)[:, None, None]
    bins = starts - REACH_BINS + np.arange(group + 2 * REACH_BINS)
    _, pieces = _near(starts + np.arange(group)[:, None], bins, tuning, window_name)
    return np.stack([pieces.real, -pieces.imag])


def _near(own: np.ndarray, bins: np.ndarray, tuning: Tuning, window_name: WindowName) -> tuple[np.ndarray, np.ndarray]:
    """The partials (n, R x a, 1) of some bins (n, a, 1), and what other bins (n, 1, b) hear of them within the reach."""
    num_bins = tuning.num_bins
    near = (np.abs(bins - own) <= REACH_BINS) & (bins >= 0) & (bins < num_bins) & (own >= 0) & (own < num_bins)
    partials = tuning.numbers[own[..., 0].clip(0, num_bins - 1)].reshape(len(own), -1, 1)
    pieces = response(partials, bins, num_bins, tuning.grid, window_name) * np.repeat(near, tuning.per_bin, 1)
    pieces /= math.sqrt((np.abs(pieces) ** 2).sum() / num_bins)  # independent amplitudes of variance 1: mean square 1
    return partials, pieces


def response(partial: np.ndarray, bins: np.ndarray, num_bins: int, grid: int, window_name: WindowName) -> np.ndarray:
    """What bin k, in broadcast arrays, hears of partial o: the MDCT, complex and without its scale, of
    exp(j pi nu_o (n - N + 1/2) / N), nu_o = (o + 1/2) / P.

    With the window's spectrum D(x) = sum_n w_n exp(j pi x (n + 1/2) / N) and the cosine of the MDCT as two exponentials,

        1/2 exp(-j pi (nu + (k + 1/2) / 2)) D(nu - k - 1/2)  +  1/2 exp(-j pi (nu - (k + 1/2) / 2)) D(nu + k + 1/2).

    D is needed at multiples of 1 / 2P only: one Fourier transform, which repeats after 4 N P of them with its sign changed.
    """
    length = 4 * num_bins * grid
    shape = window(num_bins, window_name)
    spectrum = np.fft.ifft(shape, length) * length * np.exp(1j * math.pi / length * np.arange(length))
    twice = 2 * partial + 1  # 2 P nu
    middle = grid * (2 * bins + 1)  # 2 P (k + 1/2)
    below = spectrum[np.abs(twice - middle) % length]
    below = np.where(twice < middle, below.conj(), below)  # D(-x) is the conjugate of D(x)
    above = spectrum[(twice + middle) % length]
    turn = math.pi / (2 * grid)
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
