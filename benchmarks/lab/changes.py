"""Changes to the code that recipes try and no setting makes. Each is in force inside of its context."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mp3net.dsp import baseband as baseband_module
from mp3net.model.mp3net2 import front_end as front_end_module
from mp3net.model.mp3net2 import generator as generator_module
from mp3net.model.mp3net2.discriminator import Discriminator
from mp3net.model.mp3net2.layers import FrameConv, at_least_float32, halved
from mp3net.training.objectives.relativistic import RelativisticObjective


def extended(cls: type, change: Callable[[Any], None]) -> AbstractContextManager[Any]:
    """Objects of the class are changed after they are made."""
    make = cls.__init__

    def made(self: Any, *args: Any, **named: Any) -> None:
        make(self, *args, **named)
        change(self)

    return patch.object(cls, "__init__", made)


@dataclass(frozen=True)
class Together:
    """Several changes at once."""

    changes: tuple[Callable[[], AbstractContextManager[Any]], ...]

    @property
    def __name__(self) -> str:
        return "+".join(change.__name__ for change in self.changes)

    def __call__(self) -> AbstractContextManager[Any]:
        stack = ExitStack()
        for change in self.changes:
            stack.enter_context(change())
        return stack


def together(*changes: Callable[[], AbstractContextManager[Any]]) -> Together:
    return Together(changes)


# --- hearing


@contextmanager
def hearing(schedule: Callable[[int], float]) -> Iterator[None]:
    """The threshold of the audible level, times a factor of the tracks seen."""
    now = [schedule(0)]
    features = RelativisticObjective._features

    def watched(self: Any, coefficients: Tensor, draws: Any) -> Tensor:
        now[0] = schedule(draws.tracks_seen)
        return features(self, coefficients, draws)

    def level(power: Tensor, threshold: Tensor) -> Tensor:
        return baseband_module.audible_level(power, threshold * now[0])

    with patch.object(RelativisticObjective, "_features", watched), patch.object(front_end_module, "audible_level", level):
        yield


def hearing_half() -> AbstractContextManager[Any]:
    return hearing(lambda tracks: 0.5)


def hearing_quarter() -> AbstractContextManager[Any]:
    return hearing(lambda tracks: 0.25)


def hearing_tenth() -> AbstractContextManager[Any]:
    return hearing(lambda tracks: 0.1)


def hearing_deepens() -> AbstractContextManager[Any]:
    """From 1 to 1/4 between 8,000 and 24,000 tracks."""
    return hearing(lambda tracks: 0.25 ** min(max((tracks - 8_000) / 16_000, 0), 1))


def louder_level() -> AbstractContextManager[Any]:
    """The feature that tells the sound's own level is three times as strong."""
    return patch.object(front_end_module, "THRESHOLD_SCALE", 1.2)


# --- two-dimensional stems


class Stem(nn.Module):
    """Features (B, T, 6, C, F) plus what two 3 x 3 convolutions with weights shared along bins find in them."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, hidden, 3, padding=1)
        self.second = nn.Conv2d(hidden, channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        x = features.flatten(2, 3).transpose(1, 2)  # (B, 6 C, T, F)
        x = x + self.second(F.leaky_relu(self.first(x), 0.2))
        return x.transpose(1, 2).reshape(features.shape)


@contextmanager
def stem() -> Iterator[None]:
    def change(network: Any) -> None:
        network.stem = Stem(6, 16)

    judge = Discriminator.judge
    with (
        extended(Discriminator, change),
        patch.object(Discriminator, "judge", lambda self, features: judge(self, self.stem(features))),
    ):
        yield


class LongView(nn.Module):
    """What several frames together say: for every bin the level in so many parts of its width, once per hop.

    (B, T, 6, C, F) -> (B, T / hop, width). The phases of the frames, weighted with a Hann window, are transformed: a steady
    partial is one line, noise is spread over all.
    """

    def __init__(self, bins: int, width: int, frames: int, low: bool) -> None:
        super().__init__()
        self.frames, self.hop = frames, frames // 2
        self.bins = bins = min(bins * 8 // frames, bins) if low else bins
        steps = torch.arange(frames)
        window = torch.hann_window(frames, periodic=False) + 0.08
        angle = torch.outer(steps - (frames - 1) / 2, steps - frames / 2) * (2 * math.pi / frames)
        matrix = torch.stack([angle.cos(), angle.sin()]) * (window / window.square().sum().sqrt())
        self.register_buffer("matrix", matrix)
        self.mix = nn.Linear(frames * bins, width)

    def forward(self, features: Tensor) -> Tensor:
        both = features[:, :, 1:3].flatten(3)[..., : self.bins].transpose(1, 2)  # (B, 2, T, C F)
        outer = self.hop // 2
        along, across = F.pad(both, (0, 0, outer, outer)).unfold(2, self.frames, self.hop).unbind(1)  # (B, T / hop, C F, n)
        cosine, sine = self.matrix[0].to(along.dtype), self.matrix[1].to(along.dtype)
        real = along @ cosine + across @ sine
        imaginary = across @ cosine - along @ sine
        level = (real.square() + imaginary.square() + 0.01).sqrt() - 0.1
        mixed: Tensor = self.mix(level.flatten(2))
        return mixed


@contextmanager
def views(*levels: int, low: bool = False) -> Iterator[None]:
    """These levels of the discriminator, the first is 0, also get a view of four of their own frames; with `low` those of
    n > 8 frames are of the lowest 8 / n of the bins (mono)."""

    def change(network: Any) -> None:
        bins = network.from_bins.weight.shape[1] // 6
        widths = network.config.level_widths[::-1]
        network.views = nn.ModuleDict({str(level): LongView(bins, widths[level], 2 ** (level + 1), low) for level in levels})

    def judge(self: Any, features: Tensor) -> Tensor:
        x = self.from_bins(features.flatten(2))
        for number, blocks in enumerate(self.levels):
            if number in levels:
                x = x + self.views[str(number)](features).to(x.dtype)
            for block in blocks:
                x = block(x)
            if number < len(self.steps):
                x = halved(self.steps[number](x))
        parts = self.score_part(x.reshape(len(x), -1, self.config.base_frames * x.shape[-1]))
        track = self.score_track(at_least_float32(self.attention(x)).mean(1))
        return torch.cat([track[:, None], parts], 1)

    with extended(Discriminator, change), patch.object(Discriminator, "judge", judge):
        yield


def long_view() -> AbstractContextManager[Any]:
    """The discriminator's third level also gets a view of eight frames."""
    return views(2)


def four_views() -> AbstractContextManager[Any]:
    """Views of 4, 8, 16 and 32 frames."""
    return views(1, 2, 3, 4)


def low_views() -> AbstractContextManager[Any]:
    """Views of 8 frames, of 16 for the lower half, of 32 for the lowest quarter."""
    return views(2, 3, 4, low=True)


def longer_view() -> AbstractContextManager[Any]:
    """A view of 16 frames."""
    return views(3)


def two_views() -> AbstractContextManager[Any]:
    """Views of 8 and 16 frames."""
    return views(2, 3)


# --- amplitudes


def unexpanded() -> AbstractContextManager[Any]:
    """Amplitudes of partials as the last layer gives them."""
    return patch.object(generator_module, "expanded", lambda amplitudes: amplitudes)


def half_expanded() -> AbstractContextManager[Any]:
    """z |z|^(1/2) instead of z |z|."""

    def expanded(amplitudes: Tensor) -> Tensor:
        power = amplitudes.square().sum(-3, keepdim=True)
        return amplitudes * ((power + 1e-4) / (1 + power / generator_module.EXPANDED_TO**2)).pow(0.25)

    return patch.object(generator_module, "expanded", expanded)


def cubed() -> AbstractContextManager[Any]:
    """z |z|^2 up to |z| = 3 or so, and in proportion to z above."""

    def expanded(amplitudes: Tensor) -> Tensor:
        power = amplitudes.square().sum(-3, keepdim=True)
        return 0.3 * amplitudes * ((power + 1e-3) / (1 + power / 16))

    return patch.object(generator_module, "expanded", expanded)


def shrunk() -> AbstractContextManager[Any]:
    """z |z| only where |z| is below 1, and in proportion to z above."""

    def expanded(amplitudes: Tensor) -> Tensor:
        power = amplitudes.square().sum(-3, keepdim=True)
        return amplitudes * ((power + generator_module.EXPANSION_FLOOR) / (1 + power)).sqrt()

    return patch.object(generator_module, "expanded", expanded)


# --- noise


@contextmanager
def noise_deep() -> Iterator[None]:
    """Only the blocks of 8 and fewer frames per part get noise."""
    unpack = generator_module.Generator._unpack

    def unpacked(self: Any, z: Tensor) -> tuple[Tensor, Tensor, Tensor, Iterator[Tensor]]:
        style, phases, local, noise = unpack(self, z)
        few = 8 * local.shape[1]
        return style, phases, local, (piece if piece.shape[1] <= few else torch.zeros_like(piece) for piece in noise)

    with patch.object(generator_module.Generator, "_unpack", unpacked):
        yield


# --- what is no partial


class Seen:
    """Keeps the inputs of a layer."""

    def __call__(self, module: nn.Module, inputs: tuple[Tensor]) -> None:
        (self.inputs,) = inputs


@contextmanager
def residual() -> Iterator[None]:
    """The generator also gives coefficients as they are, which are added to those of its partials."""

    def change(generator: Any) -> None:
        width = generator.to_bins.weight.shape[1]
        generator.to_residual = FrameConv(width, generator.audio_channels * generator.num_bins, 1, 0.3)
        generator.to_bins.register_forward_pre_hook(Seen())

    coefficients = generator_module.Generator._coefficients

    def both(self: Any, x: Tensor, phases: Tensor) -> Tensor:
        (seen,) = self.to_bins._forward_pre_hooks.values()
        made = at_least_float32(self.to_residual(seen.inputs))
        made = made.reshape(*made.shape[:2], self.audio_channels, self.num_bins).transpose(1, 2)
        return coefficients(self, x, phases) + made * self.bin_levels.to(made.dtype)

    with extended(generator_module.Generator, change), patch.object(generator_module.Generator, "_coefficients", both):
        yield


# --- where in the part a frame is

CLOCKS = 12


def clocks(frames: int, parts: int, like: Tensor) -> Tensor:
    """(parts x frames, 12): cos and sin of 1, 2, 4, ... turns per part, as far as its frames can hold them."""
    position = (torch.arange(frames, device=like.device) + 0.5) / frames
    turns = 2.0 ** torch.arange(CLOCKS // 2, device=like.device)
    angle = 2 * math.pi * torch.outer(position, turns)
    known = (turns <= frames / 2).float()
    return torch.cat([angle.cos() * known, angle.sin() * known], 1).repeat(parts, 1)


@contextmanager
def part_clock() -> Iterator[None]:
    """Every block of the generator knows where in its part a frame is."""

    def change(generator: Any) -> None:
        for level in generator.levels:
            for block in level:
                width, size = block.first.weight.shape[0], block.first.weight.shape[1] // 3
                block.first = FrameConv(size + CLOCKS, width, 3, block.first.gain)

    unpack = generator_module.Generator._unpack

    def unpacked(self: Any, z: Tensor) -> tuple[Tensor, Tensor, Iterator[Tensor]]:
        style, local, noise = unpack(self, z)
        parts = local.shape[1]

        def told() -> Iterator[Tensor]:
            for piece in noise:
                where = clocks(piece.shape[1] // parts, parts, piece).expand(len(piece), -1, -1)
                yield torch.cat([piece, where], -1)

        return style, local, told()

    with extended(generator_module.Generator, change), patch.object(generator_module.Generator, "_unpack", unpacked):
        yield


# --- how fast the head moves

CALM = 4.0


@contextmanager
def calm_head() -> Iterator[None]:
    """The head's weights are four times as large and its outputs a quarter of them: Adam's steps then move it a quarter as
    far."""

    def change(generator: Any) -> None:
        generator.to_bins.gain *= CALM

    coefficients = generator_module.Generator._coefficients

    with (
        extended(generator_module.Generator, change),
        patch.object(
            generator_module.Generator, "_coefficients", lambda self, x, phases: coefficients(self, x / CALM, phases)
        ),
    ):
        yield
