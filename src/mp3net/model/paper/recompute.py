"""Layers whose activations are recomputed instead of kept, even for the second derivatives of the gradient penalty.

PyTorch's own activation checkpointing recomputes a block when its gradient is needed; if that gradient is itself to be
differentiated, everything recomputed is then kept, and nothing is saved at the very moment that needs most memory. Here the
gradient of a chain of layers is a step of its own, which again keeps only its inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mp3net.model.paper.layers import Conv


def recomputed(layers: Sequence[Conv], x: Tensor) -> Tensor:
    """The layers one after the other, keeping only x.

    Differentiable like `convolve`: with respect to x and the weights, and the gradient of x once more. With create_graph the
    weights get no gradient, because theirs is not differentiable.
    """
    kind = x.device.type
    precision = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None

    def run(x: Tensor, tensors: list[Tensor]) -> Tensor:
        with torch.autocast(kind, precision, enabled=precision is not None):
            for layer, weight, bias in zip(layers, tensors[::2], tensors[1::2], strict=True):
                x = layer.with_weights(x, weight, bias)
            return x

    tensors = [tensor for layer in layers for tensor in (layer.weight, layer.bias)]
    y: Tensor = _Chain.apply(run, x, *tensors)  # type: ignore[no-untyped-call]
    return y


Run = Callable[[Tensor, list[Tensor]], Tensor]


def _fresh(tensors: list[Tensor], wanted: list[bool]) -> list[Tensor]:
    """The same values, detached, to start a new graph."""
    return [tensor.detach().requires_grad_(need) for tensor, need in zip(tensors, wanted, strict=True)]


class _Chain(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, run: Run, x: Tensor, *tensors: Tensor) -> Tensor:
        ctx.run = run
        ctx.save_for_backward(x, *tensors)
        return run(x, list(tensors))

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, *tensors = ctx.saved_tensors
        if torch.is_grad_enabled():
            return None, _TowardsInput.apply(ctx.run, g, x, *tensors), *[None] * len(tensors)  # type: ignore[no-untyped-call]
        wanted = list(ctx.needs_input_grad[1:])
        inputs = _fresh([x, *tensors], wanted)
        with torch.enable_grad():
            y = ctx.run(inputs[0], inputs[1:])
        found = iter(torch.autograd.grad(y, [tensor for tensor in inputs if tensor.requires_grad], g))
        return None, *[next(found) if need else None for need in wanted]


class _TowardsInput(torch.autograd.Function):
    """The gradient of a chain with respect to its input, given that of its output."""

    @staticmethod
    def forward(ctx: Any, run: Run, g: Tensor, x: Tensor, *tensors: Tensor) -> Tensor:
        ctx.run = run
        ctx.save_for_backward(g, x, *tensors)
        (start,) = _fresh([x], [True])
        with torch.enable_grad():
            y = run(start, [tensor.detach() for tensor in tensors])
        return torch.autograd.grad(y, start, g)[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v: Tensor) -> Any:
        wanted = list(ctx.needs_input_grad[1:])
        # The input is always differentiated once; its second derivative is omitted where the chain is piecewise linear.
        inputs = _fresh(list(ctx.saved_tensors), [wanted[0], True, *wanted[2:]])
        with torch.enable_grad():
            y = ctx.run(inputs[1], inputs[2:])
            (gradient,) = torch.autograd.grad(y, inputs[1], inputs[0], create_graph=True)
        asked = [tensor for tensor, need in zip(inputs, wanted, strict=True) if need]
        found = iter(torch.autograd.grad(gradient, asked, v, allow_unused=True))
        return None, *[next(found) if need else None for need in wanted]
