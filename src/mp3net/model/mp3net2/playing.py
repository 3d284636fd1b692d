"""The generator's head without gradients: the same sums as `Generator._played`, in place and a few frames at a time.

Amplitudes of partials are twenty times as many numbers as the coefficients made of them. Here they never leave the
processor's cache: each is written once by the layer, then expanded, turned and summed where it lies.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mp3net.config import AudioConfig
from mp3net.dsp import tables
from mp3net.dsp.constants import constant
from mp3net.dsp.partials import clock_period
from mp3net.model.mp3net2.layers import FrameConv
from mp3net.model.mp3net2.values import EXPANDED_GAIN, EXPANDED_TO, EXPANSION_FLOOR

# Numbers that the layer gives at a time, and how many of them are then expanded, turned and summed together.
NUMBERS_GIVEN = 2**23
NUMBERS_TURNED = 2**19


@dataclass(frozen=True)
class Head:
    """What makes coefficients (C, T, F) of the frames (T, W) of one track."""

    to_bins: FrameConv
    audio: AudioConfig
    per_bin: int

    def __call__(self, x: Tensor, turns: tuple[Tensor, Tensor], first: int) -> Tensor:
        """`turns` are cos and sin (4 R, F R) of the clock with the track's own phases; x begins with frame `first`."""
        period = clock_period(self.per_bin)
        outputs = len(self.to_bins.bias)
        some = max(NUMBERS_TURNED // outputs // period, 1) * period  # whole periods: the clock is the same for all
        cosine, sine = (_from(turn, first, some)[:, None] for turn in turns)
        clock = cosine, sine, -sine
        made = x.new_empty(self.audio.channels, len(x), self.audio.num_bins, dtype=cosine.dtype)
        work = _Work(self, some, cosine)
        given = max(NUMBERS_GIVEN // outputs // some, 1) * some
        # In one piece of memory: the system would clear a new one for every product.
        kind = torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else x.dtype
        x, weight = x.to(kind), self.to_bins.weight.to(kind)
        room = x.new_empty(min(given, len(x)), outputs)
        for start in range(0, len(x), given):
            piece = x[start : start + given]
            amplitudes = torch.mm(piece, weight.T, out=room[: len(piece)])
            for place in range(0, len(amplitudes), some):
                few = amplitudes[place : place + some]
                work(few, made[:, start + place : start + place + len(few)], *(turn[: len(few)] for turn in clock))
        return made


class _Work:
    """Room for the amplitudes of a few frames, with silence beyond the lowest and the highest bin."""

    def __init__(self, head: Head, frames: int, like: Tensor) -> None:
        audio, per_bin = head.audio, head.per_bin
        self.audio = audio
        self.bias = head.to_bins.bias.to(like.dtype).view(audio.channels, 2, -1)
        responses = constant(tables.responses, audio.num_bins, like, per_bin, audio.window, 1)
        self.real, self.imaginary = responses * (EXPANDED_GAIN * EXPANDED_TO**2)
        blocks, heard, block = self.real.shape
        beyond = tables.REACH_BINS * per_bin
        numbers = audio.num_bins * per_bin
        length = blocks * block * per_bin + 2 * beyond
        room = like.new_zeros(frames, audio.channels, 2, length)
        self.amplitudes = room[..., beyond : beyond + numbers]
        # For each block of bins the partials that it hears, (blocks, frames x channels, R x bins heard), without copies.
        near = room.view(frames * audio.channels, 2, length).unfold(-1, heard, block * per_bin)
        self.near = [near[:, half].transpose(0, 1) for half in (0, 1)]
        self.spare = [like.new_empty(frames, audio.channels, numbers) for _ in range(2)]
        self.sums = like.new_empty(blocks, frames * audio.channels, block)
        self.one = like.new_ones(())

    def __call__(self, given: Tensor, out: Tensor, *clock: Tensor) -> None:
        """What the layer gives for some frames (T, 4 C F R), without its bias -> their coefficients, in `out` (C, T, F)."""
        frames, channels = len(given), self.audio.channels
        both = self.amplitudes[:frames]
        torch.add(given.view(both.shape), self.bias, out=both)
        self._expand_and_turn(both[:, :, 0], both[:, :, 1], *clock)
        rows = frames * channels
        sums = self.sums[:, :rows] if rows == self.sums.shape[1] else torch.empty_like(self.sums[:, :rows])
        torch.bmm(self.near[0][:, :rows], self.real, out=sums)
        sums.baddbmm_(self.near[1][:, :rows], self.imaginary)
        made = sums.view(len(sums), frames, channels, -1).permute(2, 1, 0, 3)
        if out.shape[-1] == len(sums) * made.shape[-1]:
            out.view(made.shape).copy_(made)
        else:  # the last block of bins reaches beyond the last bin
            out.copy_(made.reshape(channels, frames, -1)[..., : out.shape[-1]])

    def _expand_and_turn(self, u: Tensor, v: Tensor, cosine: Tensor, sine: Tensor, minus_sine: Tensor) -> None:
        """u + jv = z -> g z exp(j phi) in place. With p = |z|^2 / a^2 the gain of `generator.expanded` is

        0.3 (|z|^2 + e) / (1 + p) = 0.3 a^2 g,    g = 1 - (1 - e / a^2) / (1 + p),

        and its constant is in the responses. Every line is one pass over half of the numbers.
        """
        a_squared = EXPANDED_TO**2
        one, other = (room[: len(u)] for room in self.spare)
        torch.addcmul(self.one, u, u, value=1 / a_squared, out=one)
        one.addcmul_(v, v, value=1 / a_squared)
        one.reciprocal_()
        u.addcmul_(u, one, value=EXPANSION_FLOOR / a_squared - 1)
        v.addcmul_(v, one, value=EXPANSION_FLOOR / a_squared - 1)
        torch.mul(v, minus_sine, out=one)
        torch.mul(u, sine, out=other)
        torch.addcmul(one, u, cosine, out=u)
        torch.addcmul(other, v, cosine, out=v)


def _from(turns: Tensor, first: int, count: int) -> Tensor:
    """`count` frames of the clock from `first` on."""
    times = torch.arange(first, first + count, device=turns.device) % len(turns)
    return turns[times]
