"""The layers of the second family. Tensors are (B, T, W): the bins of a frame are its channels, frames are a sequence.

Every layer is one matrix product. Convolutions see three frames and repeat the first and the last one at the ends, so a
network works with any sequence length; attention, used where frames are few, sees all of them.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mp3net.model.mp3net2.values import LEAKY_SLOPE, ROTARY_BASE

# Weights with this gain keep the power of a signal that went through a leaky ReLU with random signs.
ACTIVE_GAIN = math.sqrt(2)
# For second layers of residual blocks, so that the sum of many blocks stays near the power of one.
RESIDUAL_GAIN = 0.3 * ACTIVE_GAIN
MODULATION_GAIN = 0.5
# The mean of two independent frames times this has their power.
PAIR_GAIN = math.sqrt(2)


def at_least_float32(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, LEAKY_SLOPE)


def through(block: nn.Module, *inputs: Tensor | int, recompute: bool) -> Tensor:
    """The block's output; with `recompute` its activations are recomputed in the backward pass instead of kept."""
    again = recompute and torch.is_grad_enabled()
    output: Tensor = checkpoint(block, *inputs, use_reentrant=False) if again else block(*inputs)
    return output


def neighbours(x: Tensor) -> tuple[Tensor, Tensor]:
    """The frames before and after each frame of (B, T, W); at the ends the frame itself."""
    return torch.cat([x[:, :1], x[:, :-1]], 1), torch.cat([x[:, 1:], x[:, -1:]], 1)


class FrameConv(nn.Module):
    """Affine map of each frame (size 1), or of each frame with its two neighbours (size 3): (B, T, W) -> (B, T, W')."""

    def __init__(self, width_in: int, width_out: int, size: int = 1, gain: float = 1.0) -> None:
        super().__init__()
        if size not in (1, 3):
            raise ValueError(f"size {size}: a convolution along frames sees 1 or 3 of them")
        self.size = size
        self.gain = gain
        self.weight = nn.Parameter(torch.empty(width_out, size * width_in))
        self.bias = nn.Parameter(torch.empty(width_out))

    def forward(self, x: Tensor) -> Tensor:
        if self.size == 3:
            before, after = neighbours(x)
            x = torch.cat([before, x, after], -1)
        return F.linear(x, self.weight, self.bias)

    def initialise(self, generator: torch.Generator) -> None:
        """Normal weights of standard deviation gain / sqrt(inputs), zero bias."""
        deviation = self.gain / math.sqrt(self.weight.shape[1])
        nn.init.normal_(self.weight, std=deviation, generator=generator)
        nn.init.zeros_(self.bias)


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Fresh weights for every layer, drawn in the order in which the layers were created."""
    for layer in network.modules():
        if isinstance(layer, FrameConv):
            layer.initialise(generator)


class ResidualBlock(nn.Module):
    """x + conv(leaky(conv(h))), h = leaky(x) scaled and shifted by latents, with noise as further channels.

    x (B, T, W); only generators have `style` (B, n, S), one for each of n equal parts, or n = 1 for all of them, and
    `noise` (B, T, K). Parts have `each` frames, and x begins with frame `first` of the first of them.
    """

    def __init__(self, width: int, style_dim: int = 0, noise_channels: int = 0) -> None:
        super().__init__()
        self.modulation = FrameConv(style_dim, 2 * width, gain=MODULATION_GAIN) if style_dim else None
        self.first = FrameConv(width + noise_channels, width, 3, ACTIVE_GAIN)
        self.second = FrameConv(width, width, 3, RESIDUAL_GAIN)

    def forward(
        self, x: Tensor, style: Tensor | None = None, noise: Tensor | None = None, each: int = 1, first: int = 0
    ) -> Tensor:
        h = leaky(x)
        if self.modulation is not None and style is not None:
            scale, shift = stretched(self.modulation(style), each, first, x.shape[1]).chunk(2, -1)
            h = h * (1 + scale) + shift
        if noise is not None:
            h = torch.cat([h, noise.to(h.dtype)], -1)
        updated: Tensor = x + self.second(leaky(self.first(h)))
        return updated


class Attention(nn.Module):
    """x + what every frame takes from all others: (B, T, W) -> (B, T, W). Starts as the identity.

    Queries and keys are normalised, so that scores stay within +- sqrt(D), and rotated by their frame number: scores depend
    on the distance between two frames, and any length works. Twice differentiable, as the penalty needs.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % (4 * heads):
            raise ValueError(f"width {width} must be a multiple of 4 x {heads} heads")
        self.heads = heads
        self.head_dim = width // 2 // heads
        self.to_parts = FrameConv(width, 3 * self.heads * self.head_dim)
        self.to_out = FrameConv(self.heads * self.head_dim, width, gain=0.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.attend(x, *self.parts(x))

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of all frames, each (B, heads, T, D), in at least float32."""
        parts = self.to_parts(leaky(x)).view(*x.shape[:2], 3, self.heads, self.head_dim)
        query, key, value = at_least_float32(parts).permute(2, 0, 3, 1, 4).unbind()
        return rotate(unit_power(query)), rotate(unit_power(key)), value

    def attend(self, x: Tensor, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Some frames (B, t, W), of the queries (B, heads, t, D), with what they take from the keys and values of all."""
        with torch.autocast(x.device.type, enabled=False):
            weights = torch.softmax(query @ key.transpose(-1, -2) / math.sqrt(self.head_dim), -1)
            taken = (weights @ value).transpose(1, 2).flatten(2)
        updated: Tensor = x + self.to_out(taken)
        return updated


def unit_power(x: Tensor) -> Tensor:
    """Vectors of the last axis with mean square 1."""
    return x * (x.square().mean(-1, keepdim=True) + 1e-6).rsqrt()


def rotate(x: Tensor) -> Tensor:
    """(..., T, D): pairs of numbers rotated by the frame number times a frequency of their own (2104.09864)."""
    frames, half = x.shape[-2], x.shape[-1] // 2
    frequencies = ROTARY_BASE ** (-torch.arange(half, dtype=x.dtype, device=x.device) / half)
    angle = torch.outer(torch.arange(frames, dtype=x.dtype, device=x.device), frequencies)
    cosine, sine = angle.cos(), angle.sin()
    a, b = x.chunk(2, -1)
    return torch.cat([a * cosine - b * sine, a * sine + b * cosine], -1)


def doubled(x: Tensor) -> Tensor:
    """Twice as many frames, by linear interpolation: (B, T, W) -> (B, 2 T, W).

    The new frames lie a quarter of a step before and after the old ones, as overlapping windows do, so no frame is a copy
    and none stands out: copies would hum at the frame rate.
    """
    before, after = neighbours(x)
    return torch.stack([x.lerp(before, 0.25), x.lerp(after, 0.25)], 2).flatten(1, 2)


def stretched(x: Tensor, each: int, first: int, count: int) -> Tensor:
    """Numbers of parts of `each` frames (B, n, W) -> of `count` frames from the `first` on (B, T, W), on straight lines from
    the middle of a part to the middle of the next, and constant before the first and after the last; (B, 1, W), for all
    frames, stay as they are."""
    if x.shape[1] == 1:
        return x
    before, after = neighbours(x)
    offset = (torch.arange(each, device=x.device, dtype=torch.float32) + 0.5) / each - 0.5  # from the middle, in parts
    back, ahead = offset.neg().clamp(min=0)[:, None], offset.clamp(min=0)[:, None]
    back, ahead = back.to(x.dtype), ahead.to(x.dtype)
    made = (1 - back - ahead) * x[:, :, None] + back * before[:, :, None] + ahead * after[:, :, None]
    return made.flatten(1, 2)[:, first : first + count]


def halved(x: Tensor) -> Tensor:
    """Half as many frames, the sums of pairs divided by sqrt(2): (B, T, W) -> (B, T / 2, W)."""
    return (x[:, ::2] + x[:, 1::2]) * (PAIR_GAIN / 2)
