"""The generator's head without gradients: the same sums as `Generator._played`, some frames and a few bins at a time.

Amplitudes of partials are twenty times as many numbers as the coefficients made of them. Here they never leave the
processor's cache: the layer gives those of a group of bins, which are expanded where they lie and added to what the bins
nearby hear.

They are not turned one by one either. After 2 R frames the clock exp(j pi nu_o t), nu_o = (o + 1/2) / R, is the same but
for its sign, that of exp(j pi (2 o + 1)) = -1. So the turns of 2 R frames, with the track's own phases, go into what the
partials are multiplied by, one set for each residue t mod 2 R; frames are sorted by it, and what is summed gets the sign.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mp3net.config import AudioConfig
from mp3net.dsp import tables
from mp3net.dsp.constants import constant
from mp3net.model.mp3net2.layers import FrameConv
from mp3net.model.mp3net2.values import EXPANDED_GAIN, EXPANDED_TO, EXPANSION_FLOOR

# So many amplitudes at a time stay in the cache of two cores. Elsewhere starting an operation costs more than memory.
NUMBERS_ON_CPU = 2**19
NUMBERS_ELSEWHERE = 2**24


@dataclass(frozen=True)
class Head:
    """What makes coefficients (C, T, F) of the frames (T, W) of one track, times the levels of the bins (F,)."""

    to_bins: FrameConv
    audio: AudioConfig
    per_bin: int
    levels: Tensor

    def __call__(self, x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
        """`turns` are cos and sin (2 R, F R) of the clock at the first 2 R frames of x, with the track's own phases."""
        frames, like = len(x), turns[0]
        rows = -(-frames // self.residues)
        kind = torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else x.dtype
        x = F.pad(x.to(kind), (0, 0, 0, rows * self.residues - frames))
        x = x.view(rows, self.residues, -1).transpose(0, 1).contiguous()
        weights, heard = self._grouped(self.to_bins.weight.to(kind)), self._heard(turns)
        biases = self._grouped(self.to_bins.bias.to(like.dtype))
        span = heard.shape[-1]
        made = like.new_zeros(*x.shape[:2], self.audio.channels, len(weights) * tables.GROUP_BINS + span - tables.GROUP_BINS)
        for some, few in self._tiles(rows):
            work = _Work(x[some, few], biases, heard)
            for group, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
                here = made[some, few, :, group * tables.GROUP_BINS : group * tables.GROUP_BINS + span]
                here += work(weight, bias, heard[group, some]).view_as(here)
        return self._in_order(made)[:, :frames]

    @property
    def residues(self) -> int:
        return 2 * self.per_bin

    def _tiles(self, rows: int) -> Iterator[tuple[slice, slice]]:
        """Residues and which of their rows are computed together."""
        on_cpu = self.to_bins.bias.device.type == "cpu"
        outputs = 2 * self.audio.channels * tables.GROUP_BINS * self.per_bin
        most = (NUMBERS_ON_CPU if on_cpu else NUMBERS_ELSEWHERE) // outputs
        each, few = max(most // rows, 1), max(min(most, rows), 1)
        for first in range(0, self.residues, each):
            for start in range(0, rows, few):
                yield slice(first, first + each), slice(start, min(start + few, rows))

    def _grouped(self, outputs: Tensor) -> Tensor:
        """What belongs to the layer's outputs (2 C F R, ...) -> (groups, 2 C R x bins of a group, ...)."""
        channels, rest = self.audio.channels, outputs.shape[1:]
        beyond = -self.audio.num_bins % tables.GROUP_BINS * self.per_bin
        split = F.pad(outputs.view(channels, 2, -1, *rest), (0, 0) * len(rest) + (0, beyond))
        groups = split.view(channels, 2, -1, tables.GROUP_BINS * self.per_bin, *rest).movedim(2, 0)
        return groups.flatten(1, 3)

    def _heard(self, turns: tuple[Tensor, Tensor]) -> Tensor:
        """(groups, 2 R, 2 R x bins of a group, bins nearby): for u + jv = z, what bins hear of z exp(j phi).

        With a response m - jn of the table (m, n),  Re (m - jn) (u + jv) exp(j phi) = u (m cos + n sin) + v (n cos - m sin).
        """
        real, imaginary = constant(
            tables.spread, self.audio.num_bins, turns[0], self.per_bin, self.audio.window, tables.GROUP_BINS
        )[:, :, None] * (EXPANDED_GAIN * EXPANDED_TO**2)
        beyond = -self.audio.num_bins % tables.GROUP_BINS * self.per_bin
        cosine, sine = (F.pad(turn, (0, beyond)).view(len(turn), len(real), -1).transpose(0, 1)[..., None] for turn in turns)
        both: Tensor = real.new_empty(*cosine.shape[:2], 2, *real.shape[2:])
        torch.mul(real, cosine, out=both[:, :, 0]).addcmul_(imaginary, sine)
        torch.mul(imaginary, cosine, out=both[:, :, 1]).addcmul_(real, sine, value=-1)
        return both.flatten(2, 3)

    def _in_order(self, sums: Tensor) -> Tensor:
        """Sums (2 R, rows, C, bins with those beyond) -> coefficients (C, T, F), with their signs and levels."""
        inside = sums[..., tables.REACH_BINS : tables.REACH_BINS + self.audio.num_bins].permute(2, 1, 0, 3)
        sign = 1 - 2 * (torch.arange(inside.shape[1], device=sums.device) % 2).to(sums.dtype)
        made = sums.new_empty(inside.shape)
        torch.mul(inside, sign[:, None, None] * self.levels.to(sums.dtype), out=made)
        return made.flatten(1, 2)


class _Work:
    """Room for the amplitudes of a group of bins in the frames (residues, rows, W)."""

    def __init__(self, frames: Tensor, biases: Tensor, heard: Tensor) -> None:
        residues, self.frames, outputs = len(frames), frames.flatten(0, 1), biases.shape[1]
        self.given = frames.new_empty(len(self.frames), outputs)
        self.amplitudes = self.given if self.given.dtype == biases.dtype else biases.new_empty(self.given.shape)
        self.spare = biases.new_empty(len(self.frames), outputs // 2)
        self.one = biases.new_ones(())
        self.by_residue = self.amplitudes.view(residues, -1, heard.shape[-2])
        self.sums = biases.new_empty(*self.by_residue.shape[:2], heard.shape[-1])

    def __call__(self, weight: Tensor, bias: Tensor, heard: Tensor) -> Tensor:
        """Weights (2 C n, W) and biases of n partials, what (residues, 2 n, bins) hears them -> (residues, rows C, bins)."""
        torch.mm(self.frames, weight.T, out=self.given)
        if self.given is not self.amplitudes:  # an addition of two precisions would take twice as long
            self.amplitudes.copy_(self.given)
        self.amplitudes += bias
        each = heard.shape[1] // 2
        u, v = self.amplitudes.view(len(self.frames), -1, 2, each).unbind(-2)
        expand(u, v, self.spare.view(u.shape), self.one)
        return torch.bmm(self.by_residue, heard, out=self.sums)  # with `out` autocast does not round


def expand(u: Tensor, v: Tensor, spare: Tensor, one: Tensor) -> None:
    """u + jv = z -> g z in place. With p = |z|^2 / a^2 the gain of `generator.expanded` is

    0.3 (|z|^2 + e) / (1 + p) = 0.3 a^2 g,    g = 1 - (1 - e / a^2) / (1 + p),

    and its constant is left to what z is multiplied by. Every line is one pass over half of the numbers.
    """
    a_squared = EXPANDED_TO**2
    torch.addcmul(one, u, u, value=1 / a_squared, out=spare)
    spare.addcmul_(v, v, value=1 / a_squared)
    spare.reciprocal_()
    u.addcmul_(u, spare, value=EXPANSION_FLOOR / a_squared - 1)
    v.addcmul_(v, spare, value=EXPANSION_FLOOR / a_squared - 1)
