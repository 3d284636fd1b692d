"""The second family's layers against slow formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mp3net.model.mp3net2.layers import Attention, FrameConv, ResidualBlock, doubled, halved, stretched
from tests.model.small_networks import noise, source


def test_a_convolution_along_frames_is_the_slow_sum():
    layer = FrameConv(3, 4, 3).double()
    layer.initialise(source())
    torch.nn.init.normal_(layer.bias, generator=source(1))
    x = noise(2, 5, 3)
    kernel = layer.weight.detach().numpy().reshape(4, 3, 3)  # out, tap, in
    for t in range(5):
        expected = layer.bias.detach().numpy() + sum(
            x[:, min(max(t + tap - 1, 0), 4)].numpy() @ kernel[:, tap].T for tap in range(3)
        )
        np.testing.assert_allclose(layer(x)[:, t].detach().numpy(), expected, atol=1e-14)


def test_frames_double_on_straight_lines_and_halve_with_their_power():
    line = torch.arange(6, dtype=torch.float64)[None, :, None]
    assert doubled(line)[0, 1:-1, 0].tolist() == [0.25 + 0.5 * i for i in range(10)]
    x = noise(3, 8, 2)
    torch.testing.assert_close(doubled(x), F.interpolate(x.transpose(1, 2), scale_factor=2, mode="linear").transpose(1, 2))
    assert float(halved(noise(50, 100, 10)).square().mean()) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("each", [1, 2, 3, 8])
def test_numbers_of_parts_are_stretched_to_frames_on_straight_lines(each):
    x = noise(2, 5, 3)
    expected = F.interpolate(x.transpose(1, 2), scale_factor=each, mode="linear").transpose(1, 2)
    torch.testing.assert_close(stretched(x, each, 0, 5 * each), expected)
    assert torch.equal(stretched(x[:, :1], each, 0, each), x[:, :1])  # one for all frames
    rounded = stretched(x.bfloat16(), each, 0, 5 * each)
    assert rounded.dtype == torch.bfloat16
    torch.testing.assert_close(rounded.double(), expected, atol=0.05, rtol=0)


def test_attention_is_the_slow_sum_and_knows_distances_only():
    layer = Attention(16, 2).double()
    for part in (layer.to_parts, layer.to_out):
        torch.nn.init.normal_(part.weight, std=0.3, generator=source())
        torch.nn.init.zeros_(part.bias)
    x = noise(1, 6, 16)
    parts = F.linear(F.leaky_relu(x, 0.2), layer.to_parts.weight)[0].reshape(6, 3, 2, 4).detach().numpy()
    taken = np.zeros((6, 2, 4))

    def turned(vector: np.ndarray, frame: int) -> np.ndarray:
        unit = vector / np.sqrt((vector**2).mean() + 1e-6)
        angles = frame * 10_000.0 ** (-np.arange(2) / 2)
        spun = (unit[:2] + 1j * unit[2:]) * np.exp(1j * angles)
        return np.concatenate([spun.real, spun.imag])

    for head in range(2):
        for t in range(6):
            scores = [turned(parts[t, 0, head], t) @ turned(parts[s, 1, head], s) / 2 for s in range(6)]
            weight = np.exp(scores) / np.exp(scores).sum()
            taken[t, head] = sum(w * parts[s, 2, head] for s, w in enumerate(weight))
    expected = x[0] + torch.from_numpy(taken.reshape(6, 8)) @ layer.to_out.weight.detach().T
    torch.testing.assert_close(layer(x)[0].detach(), expected.detach(), atol=1e-12, rtol=0)


def test_a_block_is_its_formula():
    block = ResidualBlock(4, style_dim=3, noise_channels=2).double()
    for number, parameter in enumerate(block.parameters()):
        torch.nn.init.normal_(parameter, std=0.5, generator=source(number))
    x, style, noise_ = noise(2, 5, 4), noise(2, 5, 3, seed=1), noise(2, 5, 2, seed=2)
    turned = style @ block.modulation.weight.T + block.modulation.bias
    h = F.leaky_relu(x, 0.2) * (1 + turned[..., :4]) + turned[..., 4:]
    h = F.leaky_relu(block.first(torch.cat([h, noise_], -1)), 0.2)
    torch.testing.assert_close(block(x, style, noise_), x + block.second(h))
