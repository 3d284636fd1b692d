from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mp3net.dsp.mdct import mdct
from mp3net.dsp.psychoacoustics import (
    Psychoacoustics,
    amplitude_to_db,
    bark_to_hz,
    hz_to_bark,
    spreading_db,
    threshold_in_quiet_db,
    tonality,
)
from tests import reference

CONFIGS = [(22016, 128, 24), (32768, 256, 24), (44100, 1024, 64), (11008, 64, 24)]


def signals(num_bins: int) -> torch.Tensor:
    rng = np.random.default_rng(5)
    frames = [scale * rng.standard_normal(num_bins) for scale in (0.1, 1e-2, 1e-4, 1e-6)]
    impulse = np.zeros(num_bins)
    impulse[num_bins // 3] = 0.9
    frames += [np.zeros(num_bins), np.full(num_bins, 0.01), np.ones(num_bins), impulse]
    return torch.from_numpy(np.stack(frames))


@pytest.mark.parametrize(("rate", "num_bins", "bands"), CONFIGS)
def test_default_model_matches_the_slow_reference(rate, num_bins, bands):
    frames = signals(num_bins)
    threshold = Psychoacoustics(rate, num_bins, bands, dtype=torch.float64).masking_threshold(frames)
    expected = np.stack([reference.masking_threshold(frame, rate, bands) for frame in frames.numpy()])
    np.testing.assert_allclose(threshold.numpy(), expected, rtol=1e-10)
    expected = [[reference.tonality(frame)] for frame in frames.numpy()]
    np.testing.assert_allclose(tonality(frames).numpy(), expected, atol=1e-12)
    single = Psychoacoustics(rate, num_bins, bands).masking_threshold(frames.float())
    np.testing.assert_allclose(single.numpy(), threshold.numpy(), rtol=5e-5)


@pytest.mark.parametrize(("rate", "num_bins", "bands"), CONFIGS)
def test_released_grid_matches_golden(golden, rate, num_bins, bands):
    data = {
        key.split("/", 1)[1]: value
        for key, value in golden("psychoacoustic").items()
        if key.startswith(f"sr{rate}_n{num_bins}_b{bands}/")
    }
    for suffix, dtype in (("f64", torch.float64), ("f32", torch.float32)):
        wide = dtype == torch.float64
        model = Psychoacoustics(rate, num_bins, bands, grid="released", dtype=dtype)
        matrix_rtol = 1e-11 if wide else 1e-6
        np.testing.assert_allclose(model.bins_to_bark, data["W"], rtol=matrix_rtol, atol=matrix_rtol)
        np.testing.assert_allclose(model.bark_to_bins, data["W_inv"], rtol=matrix_rtol, atol=matrix_rtol)
        np.testing.assert_allclose(model.spreading, data["spreading_matrix"], rtol=matrix_rtol)
        np.testing.assert_allclose(model.quiet_intensity, data["quiet_threshold_intensity"][0, 0, :, 0], rtol=matrix_rtol)
        coefficients = torch.from_numpy(data["mdct"]).to(dtype).movedim(-1, 1)
        tau = tonality(coefficients)
        np.testing.assert_allclose(tau.movedim(1, -1), data[f"tonality_{suffix}"], atol=1e-12 if wide else 1e-5)
        for drown in (0.0, 0.5):
            threshold = model.masking_threshold(coefficients, offset_scale=1 - drown).movedim(1, -1)
            np.testing.assert_allclose(threshold, data[f"threshold_drown{drown}_{suffix}"], rtol=1e-12 if wide else 5e-5)
        if wide:
            intensity = model.bark_intensity(coefficients)
            np.testing.assert_allclose(intensity.movedim(1, -1), data["bark_intensity_f64"], rtol=1e-12, atol=1e-30)
            masked = model.masking_intensity(intensity, tau).movedim(1, -1)
            np.testing.assert_allclose(masked, data["masking_intensity_bark_f64"], rtol=1e-12)
        if f"amplitude_to_dB_{suffix}" in data:
            level = amplitude_to_db(coefficients).movedim(1, -1)
            np.testing.assert_allclose(level, data[f"amplitude_to_dB_{suffix}"], atol=1e-10 if wide else 1e-3)
            normalised = data[f"amplitude_to_dB_norm_{suffix}"]
            np.testing.assert_allclose((level + 20) / 140, normalised, atol=1e-12 if wide else 1e-6)


@pytest.mark.parametrize(("suffix", "dtype"), [("f64", torch.float64), ("f32", torch.float32)])
def test_gradients_match_golden(golden, suffix, dtype):
    data = golden("psychoacoustic")
    prefix = "sr22016_n128_b24"
    names = [str(name) for name in data["signal_names"]]
    model = Psychoacoustics(22016, 128, 24, grid="released", dtype=dtype)

    def gradient(function):
        x = torch.from_numpy(data[f"{prefix}/mdct"]).to(dtype).movedim(-1, 1).requires_grad_(True)
        (grad,) = torch.autograd.grad(function(x).sum(), x)
        return grad.movedim(1, -1).numpy()

    found = {
        "grad_total": gradient(model.masking_threshold),
        "grad_tonality_const": gradient(lambda x: model.masking_threshold(x, tonality(x).detach())),
        "grad_sum_tonality": gradient(tonality),
    }
    for key, actual in found.items():
        expected = data[f"{prefix}/{key}_{suffix}"]
        assert np.isfinite(actual).all()
        for index, name in enumerate(names):
            scale = max(np.abs(expected[index]).max(), 1e-12)
            atol = 1e-6 if (key, name) == ("grad_sum_tonality", "const") else scale * (3e-5 if suffix == "f32" else 1e-10)
            np.testing.assert_allclose(actual[index], expected[index], atol=atol, rtol=0, err_msg=f"{key} {name}")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("grid", ["exact", "released"])
def test_finite_values_and_gradients_everywhere(grid, dtype):
    frames = signals(128).to(dtype).requires_grad_(True)
    model = Psychoacoustics(22016, 128, grid=grid, dtype=dtype)
    threshold = model.masking_threshold(frames)
    assert bool((threshold > 0).all())
    (gradient,) = torch.autograd.grad(threshold.sum(), frames)
    assert bool(torch.isfinite(threshold).all())
    assert bool(torch.isfinite(gradient).all())
    assert float(gradient[4].abs().max()) == 0  # silence


def test_threshold_gradient_matches_finite_differences():
    model = Psychoacoustics(22016, 64, dtype=torch.float64)
    frames = signals(64)[:2].requires_grad_(True)
    assert torch.autograd.gradcheck(model.masking_threshold, frames, atol=1e-6)


def test_bark_scale():
    frequencies = torch.tensor([0.0, 100.0, 1000.0, 11008.0], dtype=torch.float64)
    expected = [reference.bark(float(f)) for f in frequencies]
    np.testing.assert_allclose(hz_to_bark(frequencies), expected, rtol=1e-14)
    np.testing.assert_allclose(bark_to_hz(hz_to_bark(frequencies)), frequencies, atol=1e-9)


def test_threshold_in_quiet_is_lowest_where_ears_are_best():
    frequencies = torch.linspace(30, 15000, 2000, dtype=torch.float64)
    level = threshold_in_quiet_db(frequencies)
    assert 3000 < float(frequencies[level.argmin()]) < 4000
    assert -6 < float(level.min()) < -4
    assert float(threshold_in_quiet_db(torch.tensor(1.0))) == 120


def test_tonality_of_known_signals():
    rng = np.random.default_rng(0)
    noise = torch.from_numpy(rng.standard_normal((2000, 128)))
    # The mean of ln A^2 of a Gaussian is -(gamma + ln 2), its mean A^2 is 1: flatness -5.516 dB.
    expected = 10 * (np.euler_gamma + math.log(2)) / math.log(10) / 60
    assert float(tonality(noise).mean()) == pytest.approx(expected, abs=0.003)
    assert float(tonality(torch.full((1, 128), 0.3))) == pytest.approx(0, abs=1e-6)
    assert float(tonality(torch.zeros(1, 128))) == 0
    tone = torch.zeros(1, 128)
    tone[0, 40] = 0.4
    assert float(tonality(tone)) == 1


def test_masking_spreads_towards_higher_frequencies():
    """Shallow upwards (about -10 dB per Bark), steep downwards (about -25 dB per Bark)."""
    distances = torch.tensor([-6.0, -5.0, 5.0, 6.0], dtype=torch.float64)
    levels = spreading_db(distances)
    assert 24 < float(levels[1] - levels[0]) < 25.5
    assert -10.5 < float(levels[3] - levels[2]) < -9.5
    masker = torch.zeros(24, dtype=torch.float64)
    masker[12] = 0.1
    masked = Psychoacoustics(22016, 128, dtype=torch.float64).masking_intensity(masker, torch.zeros(1))
    assert float(masked[15]) > 100 * float(masked[9])
    assert float(masked[12]) == float(masked.max())


def test_exact_grid_has_the_stated_distance_from_the_released_one():
    """Golden README: the released diagonal is 1.1 dB low; three bands below +9.3, three above -4.8 dB."""
    exact = Psychoacoustics(22016, 128, dtype=torch.float64).spreading
    released = Psychoacoustics(22016, 128, grid="released", dtype=torch.float64).spreading
    ratio_db = 10 * torch.log10(released / exact) / 0.6
    found = [float(ratio_db[10, 10 + step]) for step in (0, -1, -2, -3, 1, 2, 3)]
    np.testing.assert_allclose(found, [-1.1, 4.8, 8.6, 9.3, -3.5, -4.4, -4.8], atol=0.06)


def test_masking_noise_has_a_sixth_of_the_threshold_and_is_reproducible():
    model = Psychoacoustics(22016, 128)
    coefficients = 0.05 * torch.from_numpy(np.random.default_rng(1).standard_normal((1, 1, 1, 128))).float()
    many = coefficients.expand(4000, 1, 1, 128)
    noised = model.add_masking_noise(many, torch.Generator().manual_seed(3))
    deviation = (noised - many).std(dim=0)
    ratio = deviation / (model.masking_threshold(coefficients)[0] / 6)
    assert float((ratio - 1).abs().max()) < 0.05  # 4000 draws: standard error 1.1 %, 128 bins
    again = model.add_masking_noise(many, torch.Generator().manual_seed(3))
    assert torch.equal(noised, again)


def test_noise_under_a_tone_stays_below_it():
    """A physical check of levels: white noise at the masking threshold of a loud tone is 15 dB or more below the tone."""
    time = torch.arange(128 * 64, dtype=torch.float64)
    coefficients = mdct(0.5 * torch.sin(2 * math.pi * 1000 / 22016 * time), 128)[8:-8]
    noise = Psychoacoustics(22016, 128, dtype=torch.float64).masking_threshold(coefficients) / 6
    ratio_db = 10 * torch.log10(coefficients.square().sum() / noise.square().sum())
    assert 15 < float(ratio_db) < 60


def test_unknown_grid_is_refused():
    with pytest.raises(ValueError, match="choose 'exact' or 'released'"):
        Psychoacoustics(22016, 128, grid="paper")


@pytest.mark.parametrize("num_bins", [64, 128, 512])
def test_the_masking_threshold_contains_that_in_quiet(num_bins):
    model = Psychoacoustics(22016, num_bins)
    quiet = model.quiet_threshold()
    torch.testing.assert_close(model.masking_threshold(torch.zeros(num_bins)), quiet)
    loud = model.masking_threshold(0.1 * torch.randn(8, num_bins))
    assert (loud >= quiet * (1 - 1e-6)).all()
    assert (loud > 10 * quiet).any()
    # A band of the middle: the formula of the paper, at the middle of the band.
    bark = float(hz_to_bark(torch.tensor(11008.0))) / 24 * 12.5
    expected_db = float(threshold_in_quiet_db(bark_to_hz(torch.tensor(bark)))) - 120
    inside = int(float(bark_to_hz(torch.tensor(bark))) / 11008 * num_bins)
    band_hz = float(bark_to_hz(torch.tensor(bark * 13 / 12.5)) - bark_to_hz(torch.tensor(bark * 12 / 12.5)))
    per_bin_db = expected_db + 10 * math.log10(11008 / num_bins / band_hz)  # its power, over the bins of the band
    if num_bins == 512:  # then bins around the middle of the band lie wholly within it
        assert float(20 * torch.log10(quiet[inside])) == pytest.approx(per_bin_db, abs=0.01)
