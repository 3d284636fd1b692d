"""The baseband against slow sums, and by the physics of steady sounds."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mp3net.dsp.baseband import audible_level, baseband, carriers, mdst
from mp3net.dsp.mdct import imdct, mdct
from mp3net.dsp.psychoacoustics import Psychoacoustics
from tests import reference

RATE_HZ, BINS = 11008, 256


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def sine(frequency_hz: float, samples: int, phase: float = 0.3) -> torch.Tensor:
    return torch.sin(2 * math.pi * frequency_hz / RATE_HZ * torch.arange(samples, dtype=torch.float64) + phase)


@pytest.mark.parametrize("name", ["vorbis", "sine"])
@pytest.mark.parametrize("num_bins", [2, 6, 10, 64, 256])
def test_mdst_is_the_slow_sine_sum(name, num_bins):
    """All frames but the outer two, where `mdst` has to do without the audio before and after the crop."""
    audio = noise(7 * num_bins)
    w = {"vorbis": reference.vorbis_window, "sine": reference.sine_window}[name](num_bins)
    n, k = np.arange(2 * num_bins), np.arange(num_bins)
    kernel = np.sin(np.pi / num_bins * np.outer(k + 0.5, n + 0.5 + num_bins / 2)) / (math.sqrt(2) * num_bins)
    frames = [kernel @ (audio.numpy()[m * num_bins : (m + 2) * num_bins] * w) for m in range(6)]
    found = mdst(mdct(audio, num_bins, name, edges="crop"), name)
    np.testing.assert_allclose(found[1:-1].numpy(), np.array(frames)[1:-1], atol=1e-14)
    # The outer frames are those of the audio that the coefficients describe.
    described = imdct(mdct(audio, num_bins, name, edges="crop"), name, edges="crop").numpy()
    np.testing.assert_allclose(found[0].numpy(), kernel @ (described[: 2 * num_bins] * w), atol=1e-14)


def test_carriers_are_the_phases_of_the_bins_middles():
    cosine, sine_ = carriers(11, torch.empty(6, dtype=torch.float64))
    theta = math.pi * np.outer(np.arange(11) - 1.5, np.arange(6) + 0.5)
    np.testing.assert_allclose(cosine.numpy(), np.cos(theta), atol=1e-12)
    np.testing.assert_allclose(sine_.numpy(), np.sin(theta), atol=1e-12)


@pytest.mark.parametrize("frequency_hz", [440.0, 445.3, 452.0, 1234.5, 27.5 * 2 ** (40 / 12)])
def test_a_steady_sine_has_constant_magnitude_and_turns_by_its_offset(frequency_hz):
    coefficients = mdct(sine(frequency_hz, 40 * BINS), BINS, edges="crop")
    i, q = baseband(coefficients)
    position = frequency_hz / (RATE_HZ / (2 * BINS))
    k0 = int(position)
    offset = position - k0 - 0.5
    c = torch.complex(i, q)[1:-1, k0]
    assert 20 * math.log10(float(c.abs().max() / c.abs().min())) < 1e-3
    turn = (c[1:] * c[:-1].conj()).angle()
    assert float((turn - math.pi * offset).abs().max()) < 2e-5
    raw = coefficients[1:-1, k0].abs()
    assert 20 * math.log10(float(raw.max() / raw.min())) > 20, "the coefficients themselves swing: that is the point"


def test_white_noise_stays_white():
    """As far as frames that share half of their samples can be: their windows' overlap is all that remains."""
    i, q = (x[1:-1] for x in baseband(noise(600, 64)))
    count = i.numel()
    w = reference.vorbis_window(64)
    overlap = float((w[:64] * w[64:]).mean())
    for x in (i, q):
        assert float(x.std()) == pytest.approx(1, abs=4 / math.sqrt(count))
        assert abs(float((x[:, 1:] * x[:, :-1]).mean())) < 4 / math.sqrt(count), "from bin to bin"
        assert abs(float((x[2:] * x[:-2]).mean())) < 5 / math.sqrt(count), "frames that share no samples"
        assert float((x[1:] * x[:-1]).mean()) == pytest.approx(overlap, abs=5 / math.sqrt(count))
    assert abs(float((i * q).mean())) < 4 / math.sqrt(count)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
@pytest.mark.parametrize("num_bins", [2, 10, 256])
def test_nothing_is_lost(dtype, tolerance, num_bins):
    x = noise(3, 9, num_bins).to(dtype)
    i, q = baseband(x)
    assert i.dtype == q.dtype == dtype
    cosine, sine = carriers(9, x)
    torch.testing.assert_close(i * cosine - q * sine, x, atol=tolerance, rtol=0)


def test_it_is_linear_and_differentiable():
    x, y = noise(5, 6), noise(5, 6, seed=1)
    for a, b, c in zip(baseband(2 * x - 3 * y), baseband(x), baseband(y), strict=True):
        torch.testing.assert_close(a, 2 * b - 3 * c, atol=1e-13, rtol=0)
    assert torch.autograd.gradcheck(baseband, x.requires_grad_(True))


def test_what_nobody_hears_has_no_level():
    """A loud tone and noise 30 dB under the masking threshold: only the tone has a level."""
    ear = Psychoacoustics(RATE_HZ, BINS, dtype=torch.float64)
    i, q = baseband(mdct(0.3 * sine(1000.0, 20 * BINS), BINS, edges="crop"))
    power = (i.square() + q.square())[1:-1]
    threshold = ear.masking_threshold(power.sqrt())
    level = audible_level(power, threshold)
    tone = int(1000 / (RATE_HZ / (2 * BINS)))
    assert float(level[:, tone].min()) > 1
    assert float(audible_level(threshold.square() * 1e-3, threshold).max()) < 0.3 * 1.001e-3
    assert float(audible_level(torch.zeros_like(threshold), threshold).max()) == 0
    assert float(audible_level(threshold.square(), threshold).min()) == pytest.approx(0.3 * math.log(2))


@pytest.mark.parametrize("wrong", [torch.zeros(4, 5), torch.zeros(4, 6, dtype=torch.float16)])
def test_odd_bins_and_other_precisions_are_refused(wrong):
    with pytest.raises(ValueError, match="even number|float32 or float64"):
        baseband(wrong)
