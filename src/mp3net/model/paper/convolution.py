"""Convolution with bias and leaky ReLU as one step, twice differentiable at the lowest cost.

A convolution y = conv(x, w), its transpose x = back(y, w) and its weight gradient w = weights(x, y) are three faces of one
trilinear form: the gradients of each consist of the other two,

    conv(x, w):  towards x  back(g, w),   towards w  weights(x, g)
    back(y, w):  towards y  conv(g, w),   towards w  weights(g, y)

and there is a fast kernel for each. They are all that training needs, including the gradient penalty's second derivative.
What this saves compared with a chain of PyTorch's own layers (measured in docs/results.md):

- a transposed convolution is `back`, on CPUs several times as fast as PyTorch's own kernel;
- second derivatives towards weights come from `weights`, not from a convolution whose kernel is as large as the input;
- leaky ReLU is computed in place and differentiated from its result, which has the sign of its argument: one tensor kept per
  layer instead of two;
- leaky ReLU is piecewise linear. Its second derivative is omitted, so the penalty's second backward pass ends where
  PyTorch would carry zeros back through the network.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


@dataclass(frozen=True)
class Convolution:
    """The linear part of a layer: a k x k convolution over (frames, bins), k = 3 or 1, or its transpose.

    Padding follows the authors' framework: along an axis of stride 1 one zero on both sides of a 3x3 kernel, along an axis
    of stride 2 one zero after the end. Weights are (C_out, C_in, k, k), and (C_in, C_out, k, k) if transposed.
    """

    size: int = 3
    stride: tuple[int, int] = (1, 1)
    transposed: bool = False

    @property
    def transpose(self) -> Convolution:
        return replace(self, transposed=not self.transposed)

    def weight_shape(self, channels_in: int, channels_out: int) -> tuple[int, int, int, int]:
        first, second = (channels_in, channels_out) if self.transposed else (channels_out, channels_in)
        return first, second, self.size, self.size

    def __call__(self, x: Tensor, w: Tensor, bias: Tensor | None = None) -> Tensor:
        """(B, C_in, T, F) -> (B, C_out, T / stride, F / stride), or times the strides if transposed; a new tensor."""
        if not self.transposed:
            return F.conv2d(self._extended(x), w, bias, self.stride, self._both_sides)
        value = self._back(x, w)
        return value if bias is None else value.add_(bias[:, None, None])

    def weight_gradients(self, x: Tensor, g: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of weights (their values are not used) and bias, from the input and the gradient of the output."""
        if self.transposed:
            return self._gradients(x, self._extended(g), w, (False, True, False))[1], g.sum((0, 2, 3))
        found = self._gradients(g, self._extended(x), w, (False, True, True))
        return found[1], found[2]

    @property
    def _both_sides(self) -> tuple[int, int]:
        """Zeros that the kernels add on both sides of either axis."""
        return int(self.size == 3 and self.stride[0] == 1), int(self.size == 3 and self.stride[1] == 1)

    @property
    def _after(self) -> tuple[int, int]:
        """Zeros after the end alone, which no kernel adds."""
        return int(self.size == 3 and self.stride[0] == 2), int(self.size == 3 and self.stride[1] == 2)

    def _extended(self, x: Tensor) -> Tensor:
        more_frames, more_bins = self._after
        if not more_frames and not more_bins:
            return x
        frames, bins = x.shape[2:]
        longer = _empty(x, (*x.shape[:2], frames + more_frames, bins + more_bins))
        longer[:, :, :frames, :bins] = x
        longer[:, :, frames:].zero_()
        longer[:, :, :frames, bins:].zero_()
        return longer

    def _back(self, y: Tensor, w: Tensor) -> Tensor:
        frames, bins = y.shape[2] * self.stride[0], y.shape[3] * self.stride[1]
        more_frames, more_bins = self._after
        # Only the shape of this tensor is used.
        like = _empty(y, (len(y), w.shape[1], frames + more_frames, bins + more_bins))
        x = cast(Tensor, self._gradients(y, like, w, (True, False, False))[0])
        return x[:, :, :frames, :bins].contiguous(memory_format=torch.channels_last)

    def _gradients(self, y: Tensor, x: Tensor, w: Tensor, wanted: tuple[bool, bool, bool]) -> Any:
        y = y.contiguous(memory_format=torch.channels_last)
        return torch.ops.aten.convolution_backward(
            y, x, w, [len(w)], self.stride, self._both_sides, (1, 1), False, (0, 0), 1, wanted
        )


def convolve(x: Tensor, w: Tensor, bias: Tensor, form: Convolution, slope: float | None = None) -> Tensor:
    """leaky_relu(form(x, w, bias), slope), without the activation where `slope` is None; in autocast's precision.

    Differentiable with respect to x, w and bias, and so is the gradient of x with respect to w and the output gradient.
    Other second derivatives and all third ones raise RuntimeError.
    """
    if torch.is_autocast_enabled(x.device.type):
        dtype = torch.get_autocast_dtype(x.device.type)
        x, w, bias = x.to(dtype), w.to(dtype), bias.to(dtype)
    with torch.autocast(x.device.type, enabled=False):
        if not torch.is_grad_enabled():
            return _activated(form(x, w, bias), slope)
        value = _TowardsInput.apply(x, w, bias, form, slope)  # type: ignore[no-untyped-call]
        # A separate node, so that a gradient of the inputs alone (the penalty's) never computes those of the weights.
        tap = _TowardsWeights.apply(w, bias, x.detach(), value.shape, form)  # type: ignore[no-untyped-call]
        joined: Tensor = _Join.apply(value, tap, slope)  # type: ignore[no-untyped-call]
        return joined


def leaky_relu(x: Tensor, slope: float) -> Tensor:
    """Leaky ReLU whose second derivative is omitted rather than zero."""
    value: Tensor = _Leaky.apply(x, slope)  # type: ignore[no-untyped-call]
    return value


def _activated(fresh: Tensor, slope: float | None) -> Tensor:
    return fresh if slope is None else F.leaky_relu_(fresh, slope)


def _before_activation(g: Tensor, value: Tensor, slope: float | None) -> Tensor:
    """The gradient before the activation, from the one after it and its result."""
    if slope is None:
        return g
    return cast(Tensor, torch.ops.aten.leaky_relu_backward(g, value.detach(), slope, True))


def _empty(like: Tensor, shape: tuple[int, ...]) -> Tensor:
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)


class _TowardsInput(torch.autograd.Function):
    """The value. Takes the gradient before the activation and gives that of the input."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, bias: Tensor, form: Convolution, slope: float | None) -> Tensor:
        ctx.save_for_backward(w)
        ctx.form = form
        return _activated(form(x, w, bias), slope)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (w,) = ctx.saved_tensors
        return _Linear.apply(g, w, ctx.form.transpose), None, None, None, None  # type: ignore[no-untyped-call]


class _Linear(torch.autograd.Function):
    """form(x, w), differentiable with respect to both."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, form: Convolution) -> Tensor:
        ctx.save_for_backward(x, w)
        ctx.form = form
        return form(x, w)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        x, w = ctx.saved_tensors
        towards_x = ctx.form.transpose(g, w) if ctx.needs_input_grad[0] else None
        towards_w = ctx.form.weight_gradients(x, g, w)[0] if ctx.needs_input_grad[1] else None
        return towards_x, towards_w, None


class _TowardsWeights(torch.autograd.Function):
    """Zeros of the shape of the value. Takes the gradient before the activation and gives those of weights and bias."""

    @staticmethod
    def forward(ctx: Any, w: Tensor, bias: Tensor, x: Tensor, shape: torch.Size, form: Convolution) -> Tensor:
        ctx.save_for_backward(x, w)
        ctx.form = form
        return w.new_zeros(()).expand(shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        x, w = ctx.saved_tensors
        return *ctx.form.weight_gradients(x, g, w), None, None, None


class _Join(torch.autograd.Function):
    """The value. Gives both of the above the gradient before the activation."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, tap: Tensor, slope: float | None) -> Tensor:
        ctx.slope = slope
        ctx.save_for_backward(value if slope is not None else None)
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (value,) = ctx.saved_tensors
        g = _before_activation(g, value, ctx.slope)
        return g, g, None


class _Leaky(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: float) -> Tensor:
        ctx.slope = slope
        value = F.leaky_relu(x, slope)
        ctx.save_for_backward(value)
        return value

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (value,) = ctx.saved_tensors
        return _before_activation(g, value, ctx.slope), None
