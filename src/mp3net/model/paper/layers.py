"""The blocks of both networks (paper section 3.1, figures 3 and 4). Tensors are (B, C, T, F).

Strides are (frames, bins). Along an axis of stride 2, output i of a convolution sees inputs 2i, 2i + 1, 2i + 2; its
transpose writes input i to outputs 2i, 2i + 1, 2i + 2 and drops the one beyond the end. Every layer is local along frames.

The paper's stride-1 transposed convolutions are written as plain convolutions: with a 3x3 kernel the two are the same
operation, up to the order in which the kernel is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mp3net.model.batch import WholeBatch
from mp3net.model.paper.convolution import Convolution, convolve, leaky_relu

LEAKY_SLOPE = 0.2
STDDEV_EPSILON = 1e-8


def leaky(x: Tensor) -> Tensor:
    return leaky_relu(x, LEAKY_SLOPE)


class Conv(nn.Module):
    """A convolution of the given form, then leaky ReLU if it is `active`.

    (B, C, T, F) -> (B, C', T / stride, F / stride). Weights have no values until they are initialised or loaded.
    """

    def __init__(self, channels_in: int, channels_out: int, form: Convolution, active: bool = True) -> None:
        super().__init__()
        self.form = form
        self.slope = LEAKY_SLOPE if active else None
        self.weight = nn.Parameter(torch.empty(form.weight_shape(channels_in, channels_out)))
        self.bias = nn.Parameter(torch.empty(channels_out))

    def forward(self, x: Tensor) -> Tensor:
        return self.with_weights(x, self.weight, self.bias)

    def with_weights(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """The layer's output with these weights instead of its own."""
        return convolve(x, weight, bias, self.form, self.slope)

    def extra_repr(self) -> str:
        return f"{self.form}, slope={self.slope}"


class ConvTranspose(Conv):
    """A transposed 3x3 convolution, then leaky ReLU: (B, C, T, F) -> (B, C', T * stride, F * stride)."""

    def __init__(self, channels_in: int, channels_out: int, stride: tuple[int, int]) -> None:
        super().__init__(channels_in, channels_out, Convolution(3, stride, transposed=True))


def rounded_weights(network: nn.Module, dtype: torch.dtype) -> dict[str, Tensor]:
    """Weights and biases of all convolutions by name, rounded to `dtype`: for `torch.func.functional_call`.

    Rounded once for several passes, rather than at every use under autocast; gradients reach the network's weights.
    """
    return {
        f"{name}.{kind}": value.to(dtype)
        for name, layer in network.named_modules()
        if isinstance(layer, Conv)
        for kind, value in layer.named_parameters()
    }


def same_conv(channels_in: int, channels_out: int) -> Conv:
    """3x3, stride 1, same size."""
    return Conv(channels_in, channels_out, Convolution())


def down_conv(channels_in: int, channels_out: int, stride: tuple[int, int]) -> Conv:
    """3x3, halves the axes of stride 2."""
    return Conv(channels_in, channels_out, Convolution(3, stride))


def balance_conv(channels: int) -> Conv:
    """1x1 without activation: weighs the octaves against each other before they meet."""
    return Conv(channels, channels, Convolution(1), active=False)


def chain(layers: Sequence[Conv], x: Tensor) -> Tensor:
    """The layers one after the other."""
    for layer in layers:
        x = layer(x)
    return x


# How a block computes its chains: `chain`, or `recompute.recomputed` for less memory.
Through = Callable[[Sequence[Conv], Tensor], Tensor]


class OctaveUp(nn.Module):
    """Generator block: (B, c_in, T, F) -> (B, c_out, 4 T, 2 F).

    The F bins stay as they are; a new octave of F bins above is made from the top octave (the upper F / 2 bins), because a
    bin of twice the index has twice the frequency.
    """

    def __init__(self, channels_in: int, channels_mid: int, channels_out: int) -> None:
        super().__init__()
        self.low_up = ConvTranspose(channels_in, channels_mid, (2, 1))
        self.low_conv = same_conv(channels_mid, channels_mid)
        self.low_balance = balance_conv(channels_mid)
        self.high_up = ConvTranspose(channels_in, channels_mid, (2, 2))
        self.high_conv = same_conv(channels_mid, channels_mid)
        self.high_balance = balance_conv(channels_mid)
        self.merge_up = ConvTranspose(channels_mid, channels_out, (2, 1))
        self.merge_conv = same_conv(channels_out, channels_out)

    def forward(self, x: Tensor, through: Through = chain) -> Tensor:
        top_octave = x[..., x.shape[-1] // 2 :]
        low = through([self.low_up, self.low_conv, self.low_balance], x)
        high = through([self.high_up, self.high_conv, self.high_balance], top_octave)
        return through([self.merge_up, self.merge_conv], torch.cat([low, high], dim=-1))

    @staticmethod
    def reach(first: int, last: int, frames: int) -> tuple[int, int]:
        """The frames, of `frames` that go in, on which those from `first` to before `last` of what comes out depend.

        Where frames p to before q go in alone, those next to missing neighbours come out wrong: 2p after `low_up`, 2p + 1
        after its convolution, hence 4p + 4 after `merge_up` and 4p + 5 at the end; likewise 2q - 1 and 4q - 3 onwards.
        """
        return max((first - 6) // 4, 0), min(-(-(last + 3) // 4), frames)


class OctaveDown(nn.Module):
    """Discriminator block, the mirror of `OctaveUp`: (B, c_in + extra, T, F) -> (B, c_out, T / 4, F / 2).

    The top octave, halved, is added to the upper half of what the lower bins become.
    """

    def __init__(self, channels_in: int, channels_mid: int, channels_out: int, extra_channels: int = 0) -> None:
        super().__init__()
        self.split_conv = same_conv(channels_in + extra_channels, channels_in)
        self.split_down = down_conv(channels_in, channels_mid, (2, 1))
        self.low_conv = same_conv(channels_mid, channels_mid)
        self.low_down = down_conv(channels_mid, channels_out, (2, 1))
        self.low_balance = balance_conv(channels_out)
        self.high_conv = same_conv(channels_mid, channels_mid)
        self.high_down = down_conv(channels_mid, channels_out, (2, 2))
        self.high_balance = balance_conv(channels_out)

    def forward(self, x: Tensor, through: Through = chain) -> Tensor:
        lower, top_octave = through([self.split_conv, self.split_down], x).chunk(2, dim=-1)
        low = through([self.low_conv, self.low_down, self.low_balance], lower)
        high = through([self.high_conv, self.high_down, self.high_balance], top_octave)
        below, beside = low.tensor_split([low.shape[-1] - high.shape[-1]], dim=-1)
        return torch.cat([below, beside + high], dim=-1)


def append_minibatch_stddev(
    x: Tensor, group_size: int | None = None, whole: WholeBatch | None = None, batches: int = 1
) -> Tensor:
    """(B, C, T, F) -> (B, C + 1, T, F): one number for the whole batch, or per group of consecutive samples, as a channel.

    The population standard deviation of every element over the batch, sqrt(var + 1e-8), averaged over all elements; in at
    least float32, because under bfloat16 the squares of small differences vanish. With `whole` the batch is spread over
    several processes; groups never are. With `batches`, x holds that many consecutive batches of equal size.
    Raises ValueError if B is not a multiple of `group_size` or `batches`.
    """
    whole = whole if whole is not None and group_size is None else WholeBatch()
    together = group_size or len(x) // batches
    if len(x) % (together * batches):
        raise ValueError(f"{len(x)} samples are no whole groups of {together} in {batches} batch(es)")
    wide = (x if x.dtype == torch.float64 else x.float()).reshape(-1, together, *x.shape[1:])
    mean = whole.sum(wide.sum(1, keepdim=True)) / (whole.count * together)
    variance = whole.sum((wide - mean).square().sum(1)) / (whole.count * together)
    deviation = (variance + STDDEV_EPSILON).sqrt().mean((1, 2, 3)).repeat_interleave(together)
    channel = deviation.to(x.dtype)[:, None, None, None].expand(-1, 1, *x.shape[2:])
    return torch.cat([x, channel], dim=1)


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Glorot-uniform kernels and zero biases, drawn in parameter order (released code: Keras defaults)."""
    for parameter in network.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter, generator=generator)
        else:
            nn.init.zeros_(parameter)
