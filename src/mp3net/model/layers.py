"""The blocks of both networks (paper section 3.1, figures 3 and 4). Tensors are (B, C, T, F).

Strides are (frames, bins). Padding follows the authors' framework: a strided convolution pads nothing before and one
element after, so output i sees inputs 2i, 2i + 1, 2i + 2; its transpose writes input i to outputs 2i, 2i + 1, 2i + 2 and
drops the one output beyond the end. Every layer is local along frames.

The paper's stride-1 transposed convolutions are written as plain convolutions: with a 3x3 kernel the two are one
operation, up to the order in which the kernel is stored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

LEAKY_SLOPE = 0.2
STDDEV_EPSILON = 1e-8


def leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, LEAKY_SLOPE)


def same_conv(channels_in: int, channels_out: int) -> nn.Conv2d:
    """3x3, stride 1, same size."""
    return nn.Conv2d(channels_in, channels_out, 3, padding=1)


def balance_conv(channels: int) -> nn.Conv2d:
    """1x1 kernel without activation: weighs the octaves against each other before they meet."""
    return nn.Conv2d(channels, channels, 1)


class StridedConv(nn.Conv2d):
    """3x3 convolution that halves the axes whose stride is 2: (B, C, T, F) -> (B, C', T / 2, F / stride)."""

    def __init__(self, channels_in: int, channels_out: int, stride: tuple[int, int]) -> None:
        super().__init__(channels_in, channels_out, 3, stride, padding=(0, int(stride[1] == 1)))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (0, int(self.stride[1] == 2), 0, 1)))


class StridedConvTranspose(nn.ConvTranspose2d):
    """3x3 transposed convolution that doubles the axes whose stride is 2: (B, C, T, F) -> (B, C', 2 T, F * stride).

    Computed as one ordinary convolution per output phase, interleaved: along an axis of stride 2 the even outputs are
    w_0 x_i + w_2 x_{i-1} and the odd ones w_1 x_i. The same nine products per input, but in the form for which processors
    have their fastest kernels (benchmarks/transposed.py; docs/results.md).
    """

    def __init__(self, channels_in: int, channels_out: int, stride: tuple[int, int]) -> None:
        super().__init__(channels_in, channels_out, 3, stride)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        along_frames = [self._bins_interleaved(x, taps) for taps in PHASE_TAPS[self.stride[0]]]
        return _interleave(along_frames, dim=2)

    def _bins_interleaved(self, x: Tensor, frame_taps: list[int]) -> Tensor:
        return _interleave([self._phase(x, frame_taps, bin_taps) for bin_taps in PHASE_TAPS[self.stride[1]]], dim=3)

    def _phase(self, x: Tensor, frame_taps: list[int], bin_taps: list[int]) -> Tensor:
        """The outputs of one phase, as many as inputs; kernel taps are listed from the earliest input to the latest."""
        kernel = self.weight.transpose(0, 1)[:, :, frame_taps][..., bin_taps]
        padding = (len(frame_taps) // 2, len(bin_taps) // 2)
        # An even number of taps needs zeros in front only: the output beyond the end is dropped.
        return F.conv2d(x, kernel, self.bias, padding=padding)[..., : x.shape[-2], : x.shape[-1]]


# Kernel taps that make up each output phase of an axis, by its stride.
PHASE_TAPS = {1: [[2, 1, 0]], 2: [[2, 0], [1]]}


def _interleave(phases: list[Tensor], dim: int) -> Tensor:
    """Phases of equal shape (B, C, T, F) -> every element of axis `dim` (2 or 3) followed by its twins."""
    if len(phases) == 1:
        return phases[0]
    # Channels last while stacking, so that the result needs no reordering.
    batch, channels, frames, bins = phases[0].shape
    stacked = torch.stack([phase.permute(0, 2, 3, 1) for phase in phases], dim=dim)
    size = (batch, 2 * frames, bins, channels) if dim == 2 else (batch, frames, 2 * bins, channels)
    return stacked.reshape(size).permute(0, 3, 1, 2)


class OctaveUp(nn.Module):
    """Generator block: (B, c_in, T, F) -> (B, c_out, 4 T, 2 F).

    The F bins stay as they are; a new octave of F bins above is made from the top octave (the upper F / 2 bins), because
    a bin of twice the index is a frequency of twice the height.
    """

    def __init__(self, channels_in: int, channels_mid: int, channels_out: int) -> None:
        super().__init__()
        self.low_up = StridedConvTranspose(channels_in, channels_mid, (2, 1))
        self.low_conv = same_conv(channels_mid, channels_mid)
        self.low_balance = balance_conv(channels_mid)
        self.high_up = StridedConvTranspose(channels_in, channels_mid, (2, 2))
        self.high_conv = same_conv(channels_mid, channels_mid)
        self.high_balance = balance_conv(channels_mid)
        self.merge_up = StridedConvTranspose(channels_mid, channels_out, (2, 1))
        self.merge_conv = same_conv(channels_out, channels_out)

    def forward(self, x: Tensor) -> Tensor:
        low = leaky(self.low_conv(leaky(self.low_up(x))))
        top_octave = x[..., x.shape[-1] // 2 :]
        high = leaky(self.high_conv(leaky(self.high_up(top_octave))))
        merged = torch.cat([self.low_balance(low), self.high_balance(high)], dim=-1)
        return leaky(self.merge_conv(leaky(self.merge_up(merged))))


class OctaveDown(nn.Module):
    """Discriminator block, the mirror of `OctaveUp`: (B, c_in + extra, T, F) -> (B, c_out, T / 4, F / 2).

    The top octave, halved, is added to the upper half of what the lower bins become.
    """

    def __init__(self, channels_in: int, channels_mid: int, channels_out: int, extra_channels: int = 0) -> None:
        super().__init__()
        self.split_conv = same_conv(channels_in + extra_channels, channels_in)
        self.split_down = StridedConv(channels_in, channels_mid, (2, 1))
        self.low_conv = same_conv(channels_mid, channels_mid)
        self.low_down = StridedConv(channels_mid, channels_out, (2, 1))
        self.low_balance = balance_conv(channels_out)
        self.high_conv = same_conv(channels_mid, channels_mid)
        self.high_down = StridedConv(channels_mid, channels_out, (2, 2))
        self.high_balance = balance_conv(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        x = leaky(self.split_down(leaky(self.split_conv(x))))
        half = x.shape[-1] // 2
        low: Tensor = self.low_balance(leaky(self.low_down(leaky(self.low_conv(x[..., :half])))))
        high = self.high_balance(leaky(self.high_down(leaky(self.high_conv(x[..., half:])))))
        return low + F.pad(high, (half - high.shape[-1], 0))


@dataclass(frozen=True)
class WholeBatch:
    """The processes that share a batch: their number, and the (differentiable) sum of a tensor over all of them."""

    count: int = 1
    sum: Callable[[Tensor], Tensor] = lambda x: x


def append_minibatch_stddev(x: Tensor, group_size: int | None = None, whole: WholeBatch | None = None) -> Tensor:
    """(B, C, T, F) -> (B, C + 1, T, F): one number for the whole batch, or per group of consecutive samples, as a channel.

    The population deviation of every element over the batch, sqrt(var + 1e-8), averaged over all elements; in at least
    float32, because under bfloat16 the squares of small differences vanish. With `whole` the batch is spread over several
    processes; groups never are. Raises ValueError where B is not a multiple of `group_size`.
    """
    wide = x if x.dtype == torch.float64 else x.float()
    if group_size is not None:
        if len(x) % group_size:
            raise ValueError(f"{len(x)} samples are no whole groups of {group_size}")
        groups = wide.reshape(-1, group_size, *x.shape[1:])
        variance = (groups - groups.mean(1, keepdim=True)).square().mean(1)
        deviation = (
            (variance + STDDEV_EPSILON).sqrt().mean((1, 2, 3)).repeat_interleave(group_size)[:, None, None, None]
        )
    elif whole is not None and whole.count > 1:
        mean = whole.sum(wide.sum(0)) / (whole.count * len(x))
        variance = whole.sum((wide - mean).square().sum(0)) / (whole.count * len(x))
        deviation = (variance + STDDEV_EPSILON).sqrt().mean()
    else:
        variance = (wide - wide.mean(dim=0)).square().mean(dim=0)
        deviation = (variance + STDDEV_EPSILON).sqrt().mean()
    channel = deviation.to(x.dtype).expand(x.shape[0], 1, *x.shape[2:])
    return torch.cat([x, channel], dim=1)


def run_block(block: nn.Module, x: Tensor, checkpointing: bool) -> Tensor:
    """block(x); with `checkpointing` only its input is kept for the backward pass, which computes the rest again."""
    if checkpointing and torch.is_grad_enabled():
        again: Tensor = checkpoint(block, x, use_reentrant=False, preserve_rng_state=False)
        return again
    return cast(Tensor, block(x))


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Glorot-uniform kernels and zero biases, drawn in parameter order (released code: Keras defaults)."""
    for parameter in network.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter, generator=generator)
        else:
            nn.init.zeros_(parameter)
