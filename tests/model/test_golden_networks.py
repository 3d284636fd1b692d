"""Networks and losses against the authors' code; tolerances are those of the golden data's README."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mp3net.config import PaperModel
from mp3net.model.paper import layers
from mp3net.model.paper.discriminator import Discriminator
from mp3net.model.paper.generator import Generator
from mp3net.training.objectives import wgan_gp as losses
from mp3net.training.optimiser import KerasAdam
from tests.golden_weights import collect, ours

SMALL = PaperModel(
    base_frames=4, base_bins=2, num_blocks=3, top_channels=4, channel_cap=16, latent_dim=16,
    stddev_position="after_last_block",
)  # fmt: skip
# The authors' float64 runs use the slope 0.2 rounded to float32; with it the agreement is exact up to rounding.
FLOAT32_SLOPE = float(np.float32(0.2))
PRECISIONS = [("f32", torch.float32), ("f64", torch.float64)]


@pytest.fixture(params=PRECISIONS, ids=["f32", "f64"])
def precision(request, monkeypatch):
    if request.param[0] == "f64":
        monkeypatch.setattr(layers, "LEAKY_SLOPE", FLOAT32_SLOPE)
    return request.param


def build(kind, data, dtype):
    network = kind(SMALL, 2).to(dtype)
    network.load_state_dict(collect(data, "weights/", dtype))
    return network


def assert_close(actual, expected, atol):
    torch.testing.assert_close(actual, expected.to(actual.dtype), atol=atol, rtol=0)


def test_generator_blocks_and_output(golden, precision):
    name, dtype = precision
    data = golden("generator_small")
    atol = 3e-5 if name == "f32" else 1e-12
    generator = build(Generator, data, dtype)
    for index, block in enumerate(generator.blocks):
        output = block(ours(data[f"block{index}/input"], dtype))
        assert_close(output, ours(data[f"block{index}/output_{name}"], dtype), atol)
    output = generator(torch.from_numpy(data["full/z"]).to(dtype))
    assert_close(output, ours(data[f"full/output_{name}"], dtype), atol)


def test_discriminator_blocks_and_scores(golden, precision):
    name, dtype = precision
    data = golden("discriminator_small")
    discriminator = build(Discriminator, data, dtype)
    for index in range(3):
        output = discriminator.blocks[2 - index](ours(data[f"block{index}/input"], dtype))
        expected = ours(data[f"block{index}/output_{name}"], dtype)
        assert_close(output, expected, 2e-5 if name == "f32" else 1e-12)
    scores = discriminator(ours(data["full/x"], dtype))
    expected = torch.from_numpy(data[f"full/logits_{name}"])[:, 0]
    assert_close(scores, expected, 1e-5 if name == "f32" else 1e-12)


def test_the_exact_slope_differs_from_the_released_one_by_rounding_only(golden):
    data = golden("generator_small")
    output = build(Generator, data, torch.float64)(torch.from_numpy(data["full/z"]).double())
    difference = (output - ours(data["full/output_f64"], torch.float64)).abs().max()
    assert 1e-10 < difference < 1e-6


def test_minibatch_stddev(golden):
    data = golden("batch_stddev")
    output = layers.append_minibatch_stddev(ours(data["x"], torch.float32))
    for key in ("out_official_group8_device1_f32", "out_official_group1_device8_eight_replicas_f32"):
        torch.testing.assert_close(output, ours(data[key], torch.float32), rtol=1e-6, atol=0)
    wide = layers.append_minibatch_stddev(ours(data["x"], torch.float64))
    assert float(wide[0, -1, 0, 0]) == pytest.approx(float(data["scalar_whole_batch_f64"]), rel=1e-12)


@pytest.fixture
def two_threads():
    """The tolerance of float32 gradients is that of sums in two parts: in one they round to 2.5e-5 instead of 3e-7."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_discriminator_loss_and_all_its_gradients(golden, precision):
    name, dtype = precision
    data = golden("losses_small")
    discriminator = build(Discriminator, golden("discriminator_small"), dtype)
    real, fake = ours(data["reals"], dtype), ours(data["fakes"], dtype)
    share = torch.from_numpy(data["alpha"]).to(dtype)
    parts: list[torch.Tensor] = []
    terms = losses.discriminator_loss(discriminator, real, fake, share, 3.0, 0.1, parts.append)
    loss = sum(parts)
    assert loss.item() == pytest.approx(terms["loss/discriminator"].item(), rel=1e-6)
    tolerance = 1e-5 if name == "f32" else 1e-12
    expected = {
        "loss/discriminator": float(data[f"d_loss_{name}"]),
        "distance/wasserstein": -float(data[f"wasserstein_{name}"]),
        "penalty/gradient": float(data[f"gradient_penalty_mean_{name}"]),
        "penalty/drift": float(data[f"drift_{name}"]),
        "norm/gradient": float(data[f"gradient_norm_per_sample_{name}"].mean()),
        "score/real": float(data[f"scores_real_{name}"].mean()),
        "score/fake": float(data[f"scores_fake_{name}"].mean()),
    }
    assert {key: value.item() for key, value in terms.items()} == pytest.approx(expected, rel=tolerance, abs=tolerance)
    norms = losses.gradient_norm(discriminator, losses.interpolate(real, fake, share))
    assert_close(norms, torch.from_numpy(data[f"gradient_norm_per_sample_{name}"]), max(tolerance, 1e-12))
    loss.backward()
    gradients = collect(data, f"d_loss_grad_{name}/", dtype)
    assert len(gradients) == (54 if name == "f64" else 4)
    for key, gradient in gradients.items():
        assert_close(discriminator.get_parameter(key).grad, gradient, 2e-5 if name == "f32" else 1e-11)


def test_generator_loss_and_all_its_gradients(golden, precision):
    name, dtype = precision
    data = golden("losses_small")
    generator = build(Generator, golden("generator_small"), dtype)
    discriminator = build(Discriminator, golden("discriminator_small"), dtype)
    tolerance = 1e-5 if name == "f32" else 1e-12
    fake = ours(data["fakes"], dtype).requires_grad_(True)
    loss = losses.generator_loss(discriminator(fake))
    assert loss.item() == pytest.approx(float(data[f"g_loss_{name}"]), rel=tolerance)
    (gradient,) = torch.autograd.grad(loss, fake)
    assert_close(gradient, ours(data["g_loss_grad_wrt_fakes_f64"], dtype), 1e-6)  # stored as float32
    loss = losses.generator_loss(discriminator(generator(torch.from_numpy(data["z"]).to(dtype))))
    assert loss.item() == pytest.approx(float(data[f"g_loss_through_generator_{name}"]), rel=tolerance)
    loss.backward()
    gradients = collect(data, f"g_loss_grad_{name}/", dtype)
    assert len(gradients) == (len(list(generator.parameters())) if name == "f64" else 4)
    for key, gradient in gradients.items():
        float32_atol = 2e-3 if key.startswith("dense") else 1e-5
        assert_close(generator.get_parameter(key).grad, gradient, float32_atol if name == "f32" else 1e-11)


def test_adam_trace(golden):
    data = golden("losses_small")
    parameter = torch.nn.Parameter(torch.from_numpy(data["adam/p0"]).clone())
    optimiser = KerasAdam([parameter], 1e-4, (0.5, 0.9))
    for gradient, expected in zip(data["adam/grads"], data["adam/params_after_step"], strict=True):
        parameter.grad = torch.from_numpy(gradient)
        optimiser.step()
        # Steps are 1e-4 and parameters about 1: float32 rounding of a parameter is 1.2e-7.
        torch.testing.assert_close(parameter.detach(), torch.from_numpy(expected), atol=3e-7, rtol=0)
