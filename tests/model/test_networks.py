from __future__ import annotations

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from mp3net.config import PRESETS, PaperModel
from mp3net.model.build import build_discriminator, build_generator
from mp3net.model.paper.discriminator import Discriminator
from mp3net.model.paper.generator import Generator
from mp3net.model.paper.layers import OctaveDown, OctaveUp, append_minibatch_stddev, initialise
from tests import reference

TINY = PaperModel(base_frames=2, base_bins=2, num_blocks=2, top_channels=2, channel_cap=6, latent_dim=5)


def count(network) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("name", "generator", "before", "after"),
    [("piano-95s", 58_981_762, 59_088_737, 59_088_225), ("piano-5s", 63_901_698, 64_299_777, 64_297_217)],
)
def test_parameter_counts_of_the_papers_presets(name, generator, before, after):
    config = PRESETS[name]
    released = config.model.model_copy(update={"stddev_position": "after_last_block"})
    with torch.device("meta"):
        assert count(Generator(config.model, 2)) == generator
        assert count(Discriminator(config.model, 2)) == before
        assert count(Discriminator(released, 2)) == after


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_matching_shapes(name):
    config = PRESETS[name]
    with FakeTensorMode(allow_non_fake_inputs=True):  # shapes only, nothing is computed
        fake = build_generator(config)(torch.zeros(1, config.model.latent_size(config.model.num_frames)))
        score = build_discriminator(config)(fake)
    assert fake.shape == (1, config.audio.channels, config.model.num_frames, config.audio.num_bins)
    assert score.shape == ((1,) if config.model.kind == "paper" else (1, 1 + config.model.num_parts))


def randomised(network, seed: int = 0):
    """Double precision and non-zero biases: a forgotten bias must show."""
    network = network.double()
    source = torch.Generator().manual_seed(seed)
    initialise(network, source)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() == 1:
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=source, dtype=parameter.dtype))
    return network


def weights(network) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in network.state_dict().items()}


@pytest.mark.parametrize(("frames", "bins"), [(1, 4), (3, 2), (4, 8)])
def test_blocks_match_direct_convolutions(frames, bins):
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((1, 3, frames, bins)))
    up = randomised(OctaveUp(3, 4, 2))
    np.testing.assert_allclose(up(x)[0].detach(), reference.octave_up(x[0].numpy(), weights(up)), atol=1e-12)
    x = torch.from_numpy(np.random.default_rng(2).standard_normal((1, 3, 4 * frames, 2 * bins)))
    down = randomised(OctaveDown(2, 4, 3, extra_channels=1))
    np.testing.assert_allclose(down(x)[0].detach(), reference.octave_down(x[0].numpy(), weights(down)), atol=1e-12)


def test_minibatch_stddev_matches_loops_and_position_of_figure_4():
    x = torch.from_numpy(np.random.default_rng(3).standard_normal((4, 2, 3, 2)))
    output = append_minibatch_stddev(x)
    assert torch.equal(output[:, :2], x)
    np.testing.assert_allclose(output[:, 2], reference.minibatch_stddev(x.numpy()), atol=1e-13)
    assert float(append_minibatch_stddev(x[:1].expand(4, -1, -1, -1))[0, 2, 0, 0]) == pytest.approx(1e-4)
    discriminator = Discriminator(TINY, 1)
    assert discriminator.blocks[-1].split_conv.weight.shape[1] == len(discriminator.blocks[-1].split_conv.weight) + 1
    assert discriminator.blocks[0].split_conv.weight.shape[1] == len(discriminator.blocks[0].split_conv.weight)


def test_minibatch_stddev_survives_bfloat16():
    x = 1 + 0.01 * torch.randn(8, 4, 3, 2, generator=torch.Generator().manual_seed(0))
    exact = float(append_minibatch_stddev(x.bfloat16().double())[0, -1, 0, 0])
    assert float(append_minibatch_stddev(x.bfloat16())[0, -1, 0, 0]) == pytest.approx(exact, rel=2**-8)


def test_old_octaves_do_not_see_the_frequencies_far_above():
    """The low half of a block's output depends on the input bins below and around it; a new octave on the top half only."""
    up = randomised(OctaveUp(2, 2, 2))
    x = torch.zeros(1, 2, 2, 8, dtype=torch.float64, requires_grad=True)
    highest = up(x)[..., -2:].square().sum()
    (gradient,) = torch.autograd.grad(highest, x)
    assert float(gradient[..., 4:].abs().sum()) > 0
    assert float(gradient[..., :4].abs().sum()) == 0


def test_generator_is_local_along_frames():
    """A change at one frame of a block's input reaches a bounded number of output frames: windows can be rendered."""
    up = randomised(OctaveUp(2, 3, 2))
    x = torch.from_numpy(np.random.default_rng(4).standard_normal((1, 2, 16, 4)))
    changed = x.clone()
    changed[:, :, 8] += 1
    touched = (up(changed) - up(x)).abs().amax(dim=(0, 1, 3)).nonzero().flatten()
    assert 4 * 8 - 8 < int(touched.min()) <= 4 * 8
    assert 4 * 8 < int(touched.max()) < 4 * 8 + 16


def test_initialisation_is_glorot_uniform_and_seeded():
    generator = Generator(TINY, 2)
    initialise(generator, torch.Generator().manual_seed(1))
    kernel = generator.blocks[0].low_up.weight.detach()
    limit = (6 / (9 * (kernel.shape[0] + kernel.shape[1]))) ** 0.5
    assert 0.9 * limit < float(kernel.abs().max()) <= limit
    assert float(kernel.std()) == pytest.approx(limit / 3**0.5, rel=0.15)
    assert all(float(p.detach().abs().max()) == 0 for p in generator.parameters() if p.dim() == 1)
    twin = Generator(TINY, 2)
    initialise(twin, torch.Generator().manual_seed(1))
    assert all(torch.equal(a, b) for a, b in zip(generator.parameters(), twin.parameters(), strict=True))


def test_output_range_and_precision_under_autocast():
    generator, discriminator = Generator(TINY, 2), Discriminator(TINY, 2)
    generator.initialise(torch.Generator().manual_seed(0))
    discriminator.initialise(torch.Generator().manual_seed(1))
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.mul_(5)
    with torch.autocast("cpu", torch.bfloat16):
        fake = generator(torch.randn(3, 5))
        score = discriminator(fake)
    assert fake.dtype == score.dtype == torch.float32
    assert float(fake.detach().abs().max()) <= 1
