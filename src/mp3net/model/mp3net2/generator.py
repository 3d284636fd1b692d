"""Latents -> MDCT coefficients, second family."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mp3net.config import AudioConfig, Mp3net2Model
from mp3net.dsp import tables
from mp3net.dsp.beats import QUANTILES, USUAL_BEAT_FRAMES
from mp3net.dsp.constants import constant
from mp3net.dsp.keys import evenly
from mp3net.dsp.partials import clock, clock_period, render
from mp3net.model.mp3net2.harmony import key_channels
from mp3net.model.mp3net2.layers import (
    ACTIVE_GAIN,
    Attention,
    FrameConv,
    ResidualBlock,
    at_least_float32,
    doubled,
    initialise,
    leaky,
    through,
)
from mp3net.model.mp3net2.meter import Beats
from mp3net.model.mp3net2.playing import Head
from mp3net.model.mp3net2.spans import Span, amplitude_span, level_spans
from mp3net.model.mp3net2.values import EXPANDED_GAIN, EXPANDED_TO, EXPANSION_FLOOR, MAPPING_DIM

OUTPUT_GAIN = 0.7
# As many amplitudes, two numbers each, are turned into coefficients at a time: so they stay in the processor's cache.
NUMBERS_RENDERED = 2**20


class Guides(NamedTuple):
    """What songs go by from beginning to end: beats, and keys (B, K) as channels of which one is 1."""

    beats: Beats | None
    keys: Tensor | None


@dataclass(frozen=True)
class Opening:
    """A track that has been begun: its deepest level before attention (B, n x base_frames, W), the queries, keys and values
    of that, styles (B, n or 1, G), the latent of the phases (B, P), and the noise (B, T, K) of each block above the deepest
    level, in T frames of its level each; the beat and the key if there are any."""

    deepest: Tensor
    attention: tuple[Tensor, Tensor, Tensor]
    style: Tensor
    phases: Tensor
    noise: list[Tensor]
    guides: Guides
    num_frames: int


class Generator(nn.Module):
    """z (B, global + phases + n parts) ~ N(0, I) -> coefficients (B, C, T, F), T = n x frames_per_part, float32.

    Coefficients are unbounded. z is one global latent, one each of phases, beat and key, and n consecutive parts, each
    with its local latent and the noise of its frames (`Mp3net2Model.latent_size`). Each local latent becomes `base_frames`
    frames; all frames see each other once; then every further level doubles them. What scales and shifts the channels of
    every block is made from the sum sqrt(s) global + sqrt(1 - s) local, s = `global_share`, and goes on straight lines from
    the middle of each part to the next. All blocks hear noise, the clocks of the beat and the key, if there are any. Along
    frames, everything but the attention and the clocks is local.
    """

    bin_levels: Tensor
    beat_frames: Tensor
    key_shares: Tensor

    def __init__(self, config: Mp3net2Model, audio: AudioConfig) -> None:
        super().__init__()
        self.config = config
        self.audio, self.num_bins = audio, audio.num_bins
        self.checkpointing = False
        widths = config.level_widths[: len(config.generator_level_frames)]
        self.mapping = nn.ModuleList(
            [
                FrameConv(config.global_dim, MAPPING_DIM, gain=ACTIVE_GAIN),
                FrameConv(MAPPING_DIM, config.global_dim, gain=ACTIVE_GAIN),
            ]
        )
        self.start = FrameConv(config.local_dim, config.base_frames * widths[0])
        self.attention = Attention(widths[0], config.attention_heads)
        self.levels = nn.ModuleList(
            nn.ModuleList(
                ResidualBlock(width, config.global_dim, config.block_channels) for _ in range(config.blocks_per_level)
            )
            for width in widths
        )
        self.steps = nn.ModuleList(
            FrameConv(wide, narrow) if wide != narrow else nn.Identity() for wide, narrow in pairwise(widths)
        )
        self.window = audio.window
        outputs = audio.channels * audio.num_bins * (2 * config.partials_per_bin or 1)
        # Amplitudes are slow: they need no neighbouring frames.
        self.to_bins = FrameConv(widths[-1], outputs, 1 if config.partials_per_bin else 3, OUTPUT_GAIN * ACTIVE_GAIN)
        self.register_buffer("bin_levels", torch.ones(audio.num_bins))
        if config.beat_clocks:
            self.register_buffer("beat_frames", torch.full((QUANTILES,), USUAL_BEAT_FRAMES))
        if config.keys:
            self.register_buffer("key_shares", torch.from_numpy(evenly(config.keys)))

    def initialise(self, source: torch.Generator) -> None:
        """Fresh weights."""
        initialise(self, source)

    def blocks_near_audio(self, count: int) -> list[nn.Module]:
        """The last `count` levels and what turns them into coefficients."""
        return [*self.levels[-count:], *self.steps[-count:], self.to_bins]

    def forward(self, z: Tensor) -> Tensor:
        opening = self.open(z)
        return self.section(opening, 0, opening.num_frames)

    def open(self, z: Tensor) -> Opening:
        """What every section of a track is made from: z and the deepest level, whose frames see each other."""
        style, phases, local, noise = self._unpack(z)
        guides = self.guides(z)
        style = self.mapping[1](leaky(self.mapping[0](style)))
        x = self.start(local).reshape(len(z), -1, self.config.level_widths[0])
        deepest = self.levels[0]
        assert isinstance(deepest, nn.ModuleList)
        for block in deepest:
            given = self._guided(next(noise), guides, 0, self.config.base_frames)
            x = through(block, x, style, given, self.config.base_frames, 0, recompute=self.checkpointing)
        frames = self.config.frames_per_part * local.shape[1]
        return Opening(x, self.attention.parts(x), style, phases, list(noise), guides, frames)

    def section(self, opening: Opening, first: int, last: int) -> Tensor:
        """The coefficients (B, C, last - first, F) of the frames from `first` to before `last` of the track."""
        wanted = Span(first, last)
        if not self.config.partials_per_bin:
            near = wanted.wider(1, opening.num_frames)
            made = at_least_float32(self.to_bins(self._last_level(opening, near)))[:, wanted.within(near.first)]
            made = made.reshape(*made.shape[:2], self.audio.channels, self.num_bins).transpose(1, 2)
        elif self.config.hold_frames == 1 and not torch.is_grad_enabled():
            return self._played_at_once(opening, wanted)
        else:
            made = self._played(opening, wanted)
        return made * self.bin_levels.to(made.dtype)

    def _last_level(self, opening: Opening, wanted: Span) -> Tensor:
        """Frames (B, K, W) of the last level, ready for the head."""
        config = self.config
        num_parts = opening.num_frames // config.frames_per_part
        spans = level_spans(config, num_parts, wanted)
        some = spans[0].leaves.within(0)
        query, key, value = opening.attention
        x = self.attention.attend(opening.deepest[:, some], query[:, :, some], key, value)
        noise = iter(opening.noise)
        for number, span in enumerate(spans[1:], 1):
            x = doubled(self.steps[number - 1](x))[:, span.enters.within(2 * spans[number - 1].leaves.first)]
            each = config.generator_level_frames[number]
            parts = span.enters.parts(each)
            style = opening.style if opening.style.shape[1] == 1 else opening.style[:, parts.within(0)]
            blocks = self.levels[number]
            assert isinstance(blocks, nn.ModuleList)
            for block in blocks:
                given = self._guided(next(noise)[:, span.enters.within(0)], opening.guides, span.enters.first, each)
                offset = span.enters.first - parts.first * each
                x = through(block, x, style, given, each, offset, recompute=self.checkpointing)
            x = x[:, span.leaves.within(span.enters.first)]
        return leaky(x)

    def guides(self, z: Tensor) -> Guides:
        """What songs (B, Z) go by; None for what the configuration leaves out."""
        config, beats, keys = self.config, None, None
        if config.beat_clocks:
            beats = Beats.of(at_least_float32(z[:, config.beat_place : config.key_place]), self.beat_frames)
        if config.keys:
            keys = key_channels(at_least_float32(z[:, config.key_place]), self.key_shares)
        return Guides(beats, keys)

    def _guided(self, noise: Tensor, guides: Guides, first: int, each: int) -> Tensor:
        """What a block hears in the frames (B, T, K) from `first` on of a level with so many in each part."""
        heard, count = [noise], noise.shape[1]
        if guides.beats is not None:
            hops = self.config.frames_per_part // each
            heard.append(guides.beats.clocks(self.config.beat_clocks, first, first + count, hops).to(noise.dtype))
        if guides.keys is not None:
            heard.append(guides.keys[:, None].expand(-1, count, -1).to(noise.dtype))
        return torch.cat(heard, -1) if len(heard) > 1 else noise

    def _unpack(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor, Iterator[Tensor]]:
        """The styles (B, n, G), or (B, 1, G) if all parts have the same, the latent of the phases (B, P), the local ones
        (B, n, L), and the noise (B, T, K) of one block after the other."""
        config = self.config
        before = config.common_size
        style, rest = z[:, : config.global_dim], z[:, before:]
        phases = z[:, config.global_dim : config.global_dim + config.phase_dim]
        if rest.shape[1] % config.part_size:
            raise ValueError(f"latents of {z.shape[1]} numbers are no {before} and whole parts of {config.part_size}")
        parts = rest.reshape(len(z), -1, config.part_size)
        frames = [count for count in config.generator_level_frames for _ in range(config.blocks_per_level)]
        sizes = [config.local_dim, *(config.noise_channels * count for count in frames)]
        local, *noise = torch.split(parts, sizes, 2)
        shaped = (piece.reshape(len(z), -1, config.noise_channels) for piece in noise)
        style = style[:, None]
        if config.global_share < 1:
            style = config.global_share**0.5 * style + (1 - config.global_share) ** 0.5 * local
        return style, phases, local, shaped

    def _played(self, opening: Opening, wanted: Span) -> Tensor:
        """The frames' amplitudes of partials, rendered: (B, C, T, F)."""
        hold, per_bin = self.config.hold_frames, self.config.partials_per_bin
        sounding = amplitude_span(self.config, wanted)
        last = opening.num_frames // hold
        there = sounding.wider(0, last)
        x = self._last_level(opening, there)
        # Before the first amplitude and after the last one they go on as they are.
        x = torch.cat([*[x[:, :1]] * (there.first - sounding.first), x, *[x[:, -1:]] * (sounding.last - there.last)], 1)
        period = clock_period(per_bin, hold)
        most = max(NUMBERS_RENDERED // len(self.to_bins.bias) // period, 1) * period
        like = at_least_float32(x).new_empty(self.num_bins, per_bin)
        with torch.autocast(x.device.type, enabled=False):
            angles = self._angles(at_least_float32(opening.phases))
            cosine, sine = clock(min(most, x.shape[1]), like, angles, hold, sounding.first)
        pieces = []
        for piece in torch.split(x, most, 1):
            amplitudes = at_least_float32(self.to_bins(piece))
            amplitudes = amplitudes.reshape(*piece.shape[:2], self.audio.channels, 2, *like.shape).transpose(1, 2)
            few = slice(piece.shape[1])
            with torch.autocast(x.device.type, enabled=False):
                turns = cosine[..., few, :, :], sine[..., few, :, :]
                pieces.append(render(expanded(amplitudes), self.window, turns, hold))
        if hold == 1:
            return torch.cat(pieces, 2)
        return joined(pieces, hold)[:, :, wanted.within((sounding.first + 1) * hold)]

    def _played_at_once(self, opening: Opening, wanted: Span) -> Tensor:
        """The same without gradients, and faster, times the levels of the bins."""
        head = Head(self.to_bins, self.audio, self.config.partials_per_bin, self.bin_levels)
        x = self._last_level(opening, wanted)
        like = at_least_float32(x).new_empty(self.num_bins, head.per_bin)
        with torch.autocast(x.device.type, enabled=False):
            angles = self._angles(at_least_float32(opening.phases))
            turns = [turn.flatten(-2) for turn in clock(head.residues, like, angles, first=wanted.first)]
        made = []
        for number, frames in enumerate(x):
            cosine, sine = (turn if angles is None else turn[number, 0] for turn in turns)
            made.append(head(frames, (cosine, sine)))
        return torch.stack(made) if len(made) > 1 else made[0][None]  # a stack of one would be a copy

    def _angles(self, phases: Tensor) -> Tensor | None:
        """Latents (B, P) -> (B, 1, 1, F, R), where the partials begin, in radians; nothing if all begin alike."""
        if not self.config.phase_dim:
            return None
        turns = constant(tables.phase_turns, self.num_bins, phases, self.config.partials_per_bin, self.config.phase_dim)
        return (phases @ turns).view(len(phases), 1, 1, self.num_bins, self.config.partials_per_bin)


def joined(pieces: Sequence[Tensor], hold_frames: int) -> Tensor:
    """What consecutive amplitudes are rendered to, each (..., T, F), added where they overlap by H frames, without the
    frames in which the first and the last amplitude fade: 3 H / 2 at either end."""
    middles: list[Tensor] = []
    tail = pieces[0][..., :hold_frames, :]
    for piece in pieces:
        middles += [tail + piece[..., :hold_frames, :] if middles else tail, piece[..., hold_frames:-hold_frames, :]]
        tail = piece[..., -hold_frames:, :]
    cut = 3 * hold_frames // 2
    return torch.cat([*middles, tail], -2)[..., cut:-cut, :]


def expanded(amplitudes: Tensor) -> Tensor:
    """Amplitudes z (..., 2, F, R) -> 0.3 z |z|^2, and from magnitudes of 4 on in proportion to z.

    Most partials are silent most of the time, 40 to 60 dB below those that sound, and a bin hears two dozen of them. The
    errors of a linear layer are not that small; cubed, they are. With the factor, fresh networks give the data's levels.
    """
    power = amplitudes.square().sum(-3, keepdim=True)
    return EXPANDED_GAIN * amplitudes * ((power + EXPANSION_FLOOR) / (1 + power / EXPANDED_TO**2))
