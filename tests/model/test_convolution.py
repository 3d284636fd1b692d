"""The fused layer against PyTorch's own chain: values, gradients, the penalty's second derivative, and what it costs."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from mp3net.config import PaperModel
from mp3net.model.paper.convolution import Convolution, convolve, leaky_relu
from mp3net.model.paper.discriminator import Discriminator
from mp3net.model.paper.layers import down_conv, initialise, rounded_weights, same_conv

SLOPE = 0.2
FORMS = {
    "3x3": Convolution(3),
    "1x1": Convolution(1),
    "down 2x1": Convolution(3, (2, 1)),
    "down 2x2": Convolution(3, (2, 2)),
    "up 2x1": Convolution(3, (2, 1), transposed=True),
    "up 2x2": Convolution(3, (2, 2), transposed=True),
}


def composed(x, w, bias, form, slope):
    """The same of PyTorch's layers."""
    along = [(0, 1) if step == 2 else (form.size // 2, form.size // 2) for step in form.stride]
    if form.transposed:
        y = F.conv_transpose2d(x, w, bias, form.stride)
        start = [before for before, _ in along]
        y = y[:, :, start[0] :, start[1] :][:, :, : x.shape[2] * form.stride[0], : x.shape[3] * form.stride[1]]
    else:
        y = F.conv2d(F.pad(x, (*along[1], *along[0])), w, bias, form.stride)
    return y if slope is None else F.leaky_relu(y, slope)


def inputs(form, channels=(3, 5)):
    source = torch.Generator().manual_seed(1)
    shape = (*(channels if form.transposed else channels[::-1]), form.size, form.size)
    x, w, bias = (
        torch.randn(size, generator=source, dtype=torch.float64).requires_grad_(True)
        for size in ((2, channels[0], 6, 4), shape, (channels[1],))
    )
    return x, w, bias


@pytest.mark.parametrize("slope", [None, SLOPE])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_value_and_gradients(form, slope):
    x, w, bias = inputs(form)
    ours, theirs = convolve(x, w, bias, form, slope), composed(x, w, bias, form, slope)
    assert ours.shape == theirs.shape
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    with torch.no_grad():
        assert torch.equal(convolve(x, w, bias, form, slope), ours)
    weighting = torch.randn(ours.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    for a, b in zip(
        torch.autograd.grad((ours * weighting).sum(), (x, w, bias)),
        torch.autograd.grad((theirs * weighting).sum(), (x, w, bias)),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_second_derivatives_of_a_penalty(form):
    """Two layers and something nonlinear between, so that the gradient towards the input depends on everything."""
    x, w, bias = inputs(form)
    v = torch.randn(5, 5, 3, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64).requires_grad_(True)

    def penalty(layer):
        y = layer(x, w, bias, form, SLOPE)
        z = layer(y * y.std(), v, torch.zeros_like(bias), Convolution(3), SLOPE)
        (gradient,) = torch.autograd.grad(z.sum(), x, create_graph=True)
        return (gradient.square().sum().sqrt() - 1).square()

    for a, b in zip(
        torch.autograd.grad(penalty(convolve), (w, v, bias)),
        torch.autograd.grad(penalty(composed), (w, v, bias)),
        strict=True,
    ):
        assert b.abs().max() > 1e-3
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)


def flop(work) -> int:
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def test_a_penalty_carries_no_zeros_back():
    """Forward and towards the input 2 + 2, then along the penalty's direction 1 (what the last layer is weighed by is
    constant) and towards the weights 2; PyTorch's chain takes the zero second derivatives back through both layers."""
    form = Convolution(3)
    x, w, bias = inputs(form, (4, 4))

    def work(layer):
        score = layer(layer(x, w, bias, form, SLOPE), w, bias, form, SLOPE).sum()
        (gradient,) = torch.autograd.grad(score, x, create_graph=True)
        gradient.square().sum().backward()

    once = flop(lambda: form(x, w, bias))
    assert once == 2 * 9 * 4 * 4 * 2 * 6 * 4
    assert flop(lambda: work(convolve)) == 7 * once
    assert flop(lambda: work(composed)) > 7 * once
    assert flop(lambda: convolve(x, w, bias, form, SLOPE).sum().backward()) == 3 * once
    assert flop(lambda: convolve(x, w.detach(), bias.detach(), form, SLOPE).sum().backward()) == 2 * once


def test_third_derivatives_are_refused():
    form = Convolution(3)
    x, w, bias = inputs(form)
    (first,) = torch.autograd.grad(convolve(x, w, bias, form, SLOPE).square().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), w, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        second.sum().backward()


def test_leaky_relu_has_no_second_derivative():
    x = torch.linspace(-1, 1, 6, dtype=torch.float64).requires_grad_(True)
    torch.testing.assert_close(leaky_relu(x, SLOPE), F.leaky_relu(x, SLOPE))
    (g,) = torch.autograd.grad((leaky_relu(x, SLOPE) * 3).sum(), x, create_graph=True)
    torch.testing.assert_close(g, torch.where(x > 0, 3.0, 0.6).double())
    assert not g.requires_grad


def test_rounding_once_is_autocast_without_the_repetition():
    network = nn.Sequential(same_conv(4, 8), down_conv(8, 8, (2, 1)))
    initialise(network, torch.Generator().manual_seed(0))
    x = torch.randn(2, 4, 8, 4, generator=torch.Generator().manual_seed(1))

    def gradients(weights):
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            y = functional_call(network, weights, x)
        assert y.dtype == torch.bfloat16
        y.float().square().sum().backward()
        return [y, *(parameter.grad for parameter in network.parameters())]

    expected, found = gradients({}), gradients(rounded_weights(network, torch.bfloat16))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert found[1].dtype == torch.float32


@pytest.mark.parametrize("group_size", [None, 2])
def test_batches_behind_each_other_are_scored_each_for_itself(group_size):
    config = PaperModel(
        base_frames=1, base_bins=4, num_blocks=2, top_channels=4, channel_cap=16, stddev_group_size=group_size
    )
    network = Discriminator(config, 1).double()
    initialise(network, torch.Generator().manual_seed(0))
    first, second = torch.randn(2, 4, 1, 16, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 3
    second = second * torch.linspace(0.1, 2, 4, dtype=torch.float64)[:, None, None, None]
    both = network(torch.cat([first, second]), batches=2)
    torch.testing.assert_close(both, torch.cat([network(first), network(second)]), rtol=1e-12, atol=1e-13)
    if group_size is None:
        assert (network(torch.cat([first, second])) - both).abs().max() > 1e-6
