"""Beats of many songs at once, and how the onsets in what the discriminator hears follow them (`dsp/beats.py` explains)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mp3net.dsp.beats import BEATS_PER_BAR

# Onsets are compared with bars divided into up to so many: sixteenths.
HARMONICS = 16
# The lowest band has at least so many bins; every further one is an octave.
LEAST_BINS = 8
# The level of a band rises so much in all where nothing begins: keeps the share of silence at 0.
SILENCE = 1e-2


@dataclass(frozen=True)
class Beats:
    """The beats of B songs: see `dsp.beats.Beat`; each (B,)."""

    bar_frames: Tensor
    begin: Tensor
    tempo: Tensor

    @classmethod
    def of(cls, latents: Tensor, beat_frames: Tensor) -> Beats:
        """From their normal numbers (B, 2) and the quantiles (Q,) of the beat in frames."""
        share = torch.special.ndtr(latents)
        place = share[:, 0] * (len(beat_frames) - 1)
        logs = beat_frames.to(latents.dtype).log()
        low = place.floor().long().clamp(max=len(logs) - 2)
        beat = torch.lerp(logs[low], logs[low + 1], place - low)
        return cls(BEATS_PER_BAR * beat.exp(), share[:, 1], beat - logs[len(logs) // 2])

    def bars(self, times: Tensor) -> Tensor:
        """(B, T) bars gone by at these times (T,), in frames."""
        return times / self.bar_frames[:, None] + self.begin[:, None]

    def clocks(self, count: int, first: int, last: int, hops: int) -> Tensor:
        """(B, T, 2 count + 1): what a level with frames of so many hops hears from frame `first` to before `last`."""
        like = self.bar_frames
        times = (torch.arange(first, last, device=like.device, dtype=like.dtype) + 0.5) * hops
        faster = 2.0 ** torch.arange(count, device=like.device, dtype=like.dtype)
        angle = 2 * math.pi * (self.bars(times)[..., None] * faster % 1)
        heard = (1 - 4 * (faster * hops / like[:, None]).square()).clamp(min=0)[:, None]
        tempo = self.tempo[:, None, None].expand(-1, len(times), 1)
        return torch.cat([heard * angle.cos(), heard * angle.sin(), tempo], -1)


def octaves(num_bins: int) -> list[int]:
    """How many bins each band has, the lowest first."""
    sizes = []
    while num_bins > LEAST_BINS:
        sizes.append(num_bins - num_bins // 2)
        num_bins //= 2
    return [num_bins, *sizes[::-1]]


def onsets(level: Tensor) -> Tensor:
    """Levels (B, T, F) -> (B, bands + 1, T - 1): how far they rise in a frame, in octaves and in their mean."""
    rise = F.relu(level[:, 1:] - level[:, :-1])
    bands = torch.stack([part.mean(-1) for part in torch.split(rise, octaves(level.shape[-1]), -1)], 1)
    return torch.cat([bands, bands.mean(1, keepdim=True)], 1)


def beat_profile(level: Tensor, bars: Tensor) -> Tensor:
    """What of the onsets follows the beat: levels (B, T, F) and bars gone by (B, T) -> (B, bands + 1, 16, 2).

    With onsets o(t) and bars b(t), the real and the imaginary part of

        sum_t o(t) exp(-2 pi j m b(t)) / sum_t o(t),    m = 1 ... 16,

    the harmonics of the onsets by their place in the bar: about 0 if they come at any time; 1 for m if all come together m
    times a bar, beginning with it.
    """
    rise = onsets(level)
    harmonic = torch.arange(1, HARMONICS + 1, device=bars.device, dtype=bars.dtype)
    angle = 2 * math.pi * (bars[:, 1:, None] * harmonic % 1)
    turns = torch.stack([angle.cos(), -angle.sin()], -1).to(rise.dtype)
    return torch.einsum("bct,btmp->bcmp", rise, turns) / (rise.sum(-1)[..., None, None] + SILENCE)
