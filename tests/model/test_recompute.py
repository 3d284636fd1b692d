"""Blocks computed again: the same numbers, the penalty's second derivative included, from less memory."""

from __future__ import annotations

import weakref
from functools import partial

import pytest
import torch
from torch.func import functional_call

from mp3net.config import PaperModel
from mp3net.model.paper.discriminator import Discriminator
from mp3net.model.paper.generator import Generator
from mp3net.model.paper.layers import OctaveDown, chain, initialise, rounded_weights
from mp3net.model.paper.recompute import recomputed
from mp3net.training.objectives import wgan_gp as losses

MODEL = PaperModel(base_frames=1, base_bins=4, num_blocks=2, top_channels=4, channel_cap=16, latent_dim=8)


def normal(*shape: int, dtype=torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=dtype)


def gradients(network, loss) -> list[torch.Tensor]:
    network.zero_grad()
    loss().backward()
    return [parameter.grad.clone() for parameter in network.parameters()]


@pytest.mark.parametrize("precision", ["float64", "bfloat16", "bfloat16 rounded once"])
def test_penalty_and_scores_have_the_same_gradients(precision):
    network = Discriminator(MODEL, 1)
    initialise(network, torch.Generator().manual_seed(0))
    network = network.double() if precision == "float64" else network
    real, fake = normal(2, 4, 1, 16, 16, dtype=next(network.parameters()).dtype)

    def score(x, batches=1, weights=None):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision != "float64"):
            return functional_call(network, weights, (x, batches))

    def loss():
        parts: list[torch.Tensor] = []
        once = rounded_weights(network, torch.bfloat16) if precision == "bfloat16 rounded once" else {}
        share = torch.full((4, 1, 1, 1), 0.3, dtype=real.dtype)
        losses.discriminator_loss(partial(score, weights=once), real, fake, share, 3.0, 0.1, parts.append)
        return sum(parts)

    kept = gradients(network, loss)
    network.checkpointing = True
    for a, b in zip(gradients(network, loss), kept, strict=True):
        # In bfloat16 the contributions of several uses are added up in another order.
        tolerance = 1e-12 if precision == "float64" else 0.03
        assert (a - b).abs().max() <= tolerance * b.abs().max().clamp(min=1e-3)


def test_the_generator_has_the_same_gradients():
    network = Generator(MODEL, 1).double()
    initialise(network, torch.Generator().manual_seed(0))
    z, weighting = normal(3, 8), normal(3, 1, 16, 16)
    kept = gradients(network, lambda: (network(z) * weighting).sum())
    network.checkpointing = True
    for a, b in zip(gradients(network, lambda: (network(z) * weighting).sum()), kept, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


def test_frozen_weights_get_no_gradient_and_let_it_pass():
    block = OctaveDown(4, 8, 8).double().requires_grad_(False)
    initialise(block, torch.Generator().manual_seed(0))
    x = normal(2, 4, 8, 8).requires_grad_(True)
    (expected,) = torch.autograd.grad(block(x).square().sum(), x)
    (found,) = torch.autograd.grad(block(x, recomputed).square().sum(), x)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert all(parameter.grad is None for parameter in block.parameters())


def test_a_penalty_keeps_little_per_block():
    """What is alive between the two passes of a penalty, with two blocks in a row."""
    blocks = [OctaveDown(16, 16, 16) for _ in range(2)]
    for block in blocks:
        initialise(block, torch.Generator().manual_seed(0))

    def kept_bytes(through) -> int:
        x = normal(8, 16, 256, 32, dtype=torch.float32).requires_grad_(True)
        saved: list[weakref.ref] = []

        def pack(tensor):
            saved.append(weakref.ref(tensor))
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            y = x
            for block in blocks:
                y = block(y, through)
            (gradient,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        assert gradient.requires_grad
        alive = {
            found.data_ptr(): found.untyped_storage().nbytes() for found in (each() for each in saved) if found is not None
        }
        return sum(alive.values())

    assert kept_bytes(recomputed) < 0.5 * kept_bytes(chain)
