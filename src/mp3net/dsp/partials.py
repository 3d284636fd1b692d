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
from mp3net.dsp import tables
from mp3net.dsp.constants import constant


def render(
    amplitudes: Tensor,
    window_name: WindowName = "vorbis",
    turns: tuple[Tensor, Tensor] | None = None,
    hold_frames: int = 1,
) -> Tensor:
    """Amplitudes (..., K, 2, F, R), real and imaginary, of partials o = k R + r -> MDCT coefficients (..., T, F).

    With `hold_frames` = 1 there is an amplitude for each frame, T = K. Otherwise, for an even number H, amplitude k belongs
    between the frames k H + H / 2 - 1 and k H + H / 2, from where it fades linearly into its neighbours: it sounds in 2 H
    frames, T = (K + 1) H, the first of which is frame -H / 2. So the amplitudes of a longer sequence can be rendered in
    pieces whose results overlap by H frames and are added.

    `turns` is the `clock` of these amplitudes, made here if it is not given. Linear and differentiable. Independent
    amplitudes of variance 1, one per frame, give coefficients of mean square 1.
    """
    num_bins, per_bin = amplitudes.shape[-2:]
    u, v = amplitudes.unbind(-3)
    cosine, sine = clock(u.shape[-3], u, hold_frames=hold_frames) if turns is None else turns
    real, imaginary = constant(tables.responses, num_bins, u, per_bin, window_name, hold_frames)
    made = torch.bmm(_heard(u * cosine - v * sine, len(real)), real)
    made = torch.baddbmm(made, _heard(u * sine + v * cosine, len(real)), imaginary)
    sounding = len(tables.fades(hold_frames))
    made = made.view(*made.shape[:2], sounding, -1).permute(1, 2, 0, 3).reshape(*u.shape[:-2], sounding, -1)[..., :num_bins]
    if hold_frames == 1:
        return made.squeeze(-2)
    earlier, later = (half.flatten(-3, -2) for half in torch.split(made, hold_frames, -2))
    return F.pad(earlier, (0, 0, 0, hold_frames)) + F.pad(later, (0, 0, hold_frames, 0))


def _heard(turned: Tensor, blocks: int) -> Tensor:
    """(..., F, R) -> (blocks, frames, R x bins heard): for each block of bins those that it hears, without copying them."""
    num_bins, per_bin = turned.shape[-2:]
    block = min(tables.BLOCK_BINS, num_bins)
    beyond = blocks * block - num_bins + tables.REACH_BINS
    padded = F.pad(turned.flatten(-2), (tables.REACH_BINS * per_bin, beyond * per_bin))
    near = padded.flatten(0, -2).unfold(-1, (block + 2 * tables.REACH_BINS) * per_bin, block * per_bin)
    return near.transpose(0, 1)


def clock_period(per_bin: int, hold_frames: int = 1) -> int:
    """After so many amplitudes the clock of R partials per bin begins anew."""
    return math.lcm(4 * per_bin, hold_frames) // hold_frames


def clock(
    count: int, like: Tensor, angles: Tensor | None = None, hold_frames: int = 1, first: int = 0
) -> tuple[Tensor, Tensor]:
    """cos and sin of pi nu_o t + angle_o at the frames t = H `first`, H (`first` + 1), ..., each (..., `count`, F, R), for
    the partials, precision and device of `like` (..., F, R).

    `angles` (..., 1, F, R) are where the partials begin, in radians: all at 0 without them.
    """
    period = constant(tables.clock_period, like.shape[-2], like, like.shape[-1])
    needed = torch.arange(first, first + clock_period(like.shape[-1], hold_frames), device=like.device)
    cosine, sine = period[:, needed * hold_frames % period.shape[1]].unbind()
    if angles is not None:
        begin, across = angles.cos(), angles.sin()
        cosine, sine = cosine * begin - sine * across, sine * begin + cosine * across
    times = -(-count // len(needed))
    cosine, sine = (torch.cat([once] * times, -3)[..., :count, :, :] for once in (cosine, sine))
    return cosine, sine
