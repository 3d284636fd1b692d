"""Changes to the code that recipes try and no setting makes. Each is in force inside of its context."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mp3net.model.mp3net2 import generator as generator_module
from mp3net.model.mp3net2 import layers
from mp3net.model.mp3net2.discriminator import Discriminator
from mp3net.model.mp3net2.layers import Attention, FrameConv, doubled, neighbours


def extended(cls: type, change: Callable[[Any], None]) -> AbstractContextManager[Any]:
    """Objects of the class are changed after they are made."""
    make = cls.__init__

    def made(self: Any, *args: Any, **named: Any) -> None:
        make(self, *args, **named)
        change(self)

    return patch.object(cls, "__init__", made)


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


# --- amplitudes


def unexpanded() -> AbstractContextManager[Any]:
    """Amplitudes of partials as the last layer gives them."""
    return patch.object(generator_module, "expanded", lambda amplitudes: amplitudes)


def squared() -> AbstractContextManager[Any]:
    """z |z|, and from magnitudes of 6 on in proportion to z."""

    def expanded(amplitudes: Tensor) -> Tensor:
        power = amplitudes.square().sum(-3, keepdim=True)
        return amplitudes * ((power + 1e-4) / (1 + power / 36)).sqrt()

    return patch.object(generator_module, "expanded", expanded)


def slow(doublings: int) -> AbstractContextManager[Any]:
    """Amplitudes of every second, fourth ... frame, and in between on straight lines."""
    expanded = generator_module.expanded

    def held(amplitudes: Tensor) -> Tensor:
        few = amplitudes.flatten(0, 1).unflatten(1, (-1, 2**doublings)).mean(2)
        made = expanded(few).flatten(2)
        for _ in range(doublings):
            made = doubled(made)
        return made.view(amplitudes.shape)

    return patch.object(generator_module, "expanded", held)


def slow_2() -> AbstractContextManager[Any]:
    """Amplitudes of every second frame."""
    return slow(1)


def slow_4() -> AbstractContextManager[Any]:
    """Amplitudes of every fourth frame."""
    return slow(2)


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


@contextmanager
def local_only() -> Iterator[None]:
    """Tracks of one part have a global latent of zeros, so that the local one has to decide what they are."""
    unpack = generator_module.Generator._unpack

    def unpacked(self: Any, z: Tensor) -> tuple[Tensor, Tensor, Tensor, Iterator[Tensor]]:
        style, phases, local, noise = unpack(self, z)
        return (torch.zeros_like(style) if local.shape[1] == 1 else style), phases, local, noise

    with patch.object(generator_module.Generator, "_unpack", unpacked):
        yield


@contextmanager
def grown() -> Iterator[None]:
    """As `local_only`, and the global latent changes nothing at first: longer tracks begin as shorter ones in a row."""
    with local_only(), patch.object(layers, "MODULATION_GAIN", 0.0):
        yield


# --- layers


@contextmanager
def attentive() -> Iterator[None]:
    """All frames see each other at the levels of 8 and 16 frames per part too."""

    def in_generator(network: Any) -> None:
        for level in (1, 2):
            attend(network, level, network.config.level_widths[level])

    def in_discriminator(network: Any) -> None:
        widths = network.config.level_widths[::-1]
        for level in (-3, -2):
            attend(network, len(network.steps) + 1 + level, widths[level])

    def attend(network: Any, level: int, width: int) -> None:
        network.steps[level] = nn.Sequential(Attention(width, network.config.attention_heads), network.steps[level])

    with extended(generator_module.Generator, in_generator), extended(Discriminator, in_discriminator):
        yield


def normalised() -> AbstractContextManager[Any]:
    """Rows of weights are used with the norm that fresh ones have: training turns them, and only their biases grow."""

    def forward(self: FrameConv, x: Tensor) -> Tensor:
        if self.size == 3:
            before, after = neighbours(x)
            x = torch.cat([before, x, after], -1)
        if not self.gain or len(self.weight) == 1:
            return F.linear(x, self.weight, self.bias)  # begins with zeros, or is the scale of the scores
        return F.linear(x, self.gain * F.normalize(self.weight, dim=1), self.bias)

    return patch.object(FrameConv, "forward", forward)


@contextmanager
def attentive_normalised() -> Iterator[None]:
    """`attentive` and `normalised`."""
    with attentive(), normalised():
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

    def unpacked(self: Any, z: Tensor) -> tuple[Tensor, Tensor, Tensor, Iterator[Tensor]]:
        style, phases, local, noise = unpack(self, z)
        parts = local.shape[1]

        def told() -> Iterator[Tensor]:
            for piece in noise:
                where = clocks(piece.shape[1] // parts, parts, piece).expand(len(piece), -1, -1)
                yield torch.cat([piece, where], -1)

        return style, phases, local, told()

    with extended(generator_module.Generator, change), patch.object(generator_module.Generator, "_unpack", unpacked):
        yield
