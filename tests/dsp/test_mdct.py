from __future__ import annotations

import numpy as np
import pytest
import torch

from mp3net.dsp import mdct as module
from mp3net.dsp.mdct import imdct, mdct, window
from tests import reference

# The authors' float64 runs multiply by sqrt(2) rounded to float32, once per direction.
FLOAT32_SQRT2 = float(np.float32(np.sqrt(2))) / np.sqrt(2)
WINDOWS = {"vorbis": reference.vorbis_window, "sine": reference.sine_window}


def noise(*shape: int, seed: int = 0, dtype=torch.float64) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).uniform(-1, 1, shape)).to(dtype)


@pytest.mark.parametrize("name", ["vorbis", "sine"])
@pytest.mark.parametrize("num_bins", [2, 6, 32, 128])
def test_window_matches_its_formula_and_princen_bradley(name, num_bins):
    w = window(name, num_bins).numpy()
    np.testing.assert_allclose(w, WINDOWS[name](num_bins), atol=1e-15)
    np.testing.assert_allclose(w[:num_bins] ** 2 + w[num_bins:] ** 2, 1, atol=1e-15)


@pytest.mark.parametrize("fft", [False, True])
@pytest.mark.parametrize("name", ["vorbis", "sine"])
@pytest.mark.parametrize("num_bins", [2, 10, 16, 64])
def test_both_directions_match_the_slow_cosine_sum(name, num_bins, fft, monkeypatch):
    monkeypatch.setattr(module, "MATMUL_MAX_BINS", 0 if fft else 4096)
    audio = noise(5 * num_bins)
    w = WINDOWS[name](num_bins)
    expected = reference.mdct_crop(audio.numpy(), num_bins, w)
    actual = mdct(audio, num_bins, name, edges="crop")
    np.testing.assert_allclose(actual.numpy(), expected, atol=1e-14)
    coefficients = noise(4, num_bins, seed=1)
    np.testing.assert_allclose(
        imdct(coefficients, name, edges="crop").numpy(), reference.imdct_crop(coefficients.numpy(), w), atol=1e-12
    )


@pytest.mark.parametrize("num_bins", [8, 128, 1024])
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 3e-6), (torch.float64, 1e-13)])
def test_reconstructs_noise_impulses_and_both_edges(num_bins, dtype, atol):
    samples = 5 * num_bins + 3  # not a whole number of hops
    audio = noise(2, 3, samples, dtype=dtype)
    audio[0, 0] = 0
    audio[0, 0, [0, 1, num_bins - 1, num_bins, samples - 1]] = 1
    coefficients = mdct(audio, num_bins)
    assert coefficients.shape == (2, 3, 7, num_bins)
    torch.testing.assert_close(imdct(coefficients)[..., :samples], audio, atol=atol, rtol=0)
    crop = mdct(audio[..., : 5 * num_bins], num_bins, edges="crop")
    assert crop.shape == (2, 3, 4, num_bins)
    inner = imdct(crop, edges="zeros")
    torch.testing.assert_close(inner, audio[..., num_bins : 4 * num_bins], atol=atol, rtol=0)


def test_energy_and_scale():
    num_bins = 128
    audio = noise(1, 64 * num_bins)
    coefficients = mdct(audio, num_bins)
    assert float(coefficients.square().sum()) == pytest.approx(float(audio.square().sum()) / (4 * num_bins), rel=1e-12)
    time = torch.arange(256 * num_bins, dtype=torch.float64)
    peaks = [float(mdct(torch.sin(2 * np.pi * f * time), num_bins).abs().max()) for f in (0.02, 0.1234, 0.3)]
    assert all(0.37 < peak < 0.43 for peak in peaks), peaks


@pytest.mark.parametrize("num_bins", [32, 64, 128, 256, 1024])
@pytest.mark.parametrize("name", ["vorbis", "sine"])
@pytest.mark.parametrize("fft", [False, True])
def test_golden(golden, name, num_bins, fft, monkeypatch):
    """The released transform is minus the textbook MDCT of the time-reversed frame (golden README, section 1)."""
    monkeypatch.setattr(module, "MATMUL_MAX_BINS", 0 if fft else 4096)
    data = golden("mdct")
    for suffix, dtype, atol, recon_atol in [("f32", torch.float32, 5e-7, 3e-6), ("f64", torch.float64, 1e-12, 2e-10)]:
        x = torch.from_numpy(data[f"N{num_bins}/x"]).to(dtype).movedim(-1, -2)
        # Reversing all the audio reverses each frame and the order of the frames.
        ours = -mdct(x.flip(-1), num_bins, name).flip(-2)
        factor = FLOAT32_SQRT2 if suffix == "f64" else 1
        expected = torch.from_numpy(data[f"N{num_bins}/{name}/mdct_{suffix}"]).permute(0, 3, 1, 2)
        torch.testing.assert_close(ours * factor, expected, atol=atol, rtol=0)
        recon = imdct(-expected.flip(-2), name, edges="crop").flip(-1)
        expected_recon = torch.from_numpy(data[f"N{num_bins}/{name}/recon_{suffix}"]).movedim(-1, -2)
        torch.testing.assert_close(recon * factor, expected_recon, atol=recon_atol, rtol=0)


@pytest.mark.parametrize("num_bins", [64, 128])
def test_golden_inverse_of_arbitrary_coefficients(golden, num_bins):
    data = golden("mdct")
    coefficients = torch.from_numpy(data[f"N{num_bins}/inv_only/A"]).permute(0, 3, 1, 2)
    for suffix, dtype, atol in [("f32", torch.float32, 3e-6), ("f64", torch.float64, 2e-10)]:
        audio = imdct(-coefficients.to(dtype).flip(-2), edges="crop").flip(-1)
        audio *= FLOAT32_SQRT2 if suffix == "f64" else 1
        expected = torch.from_numpy(data[f"N{num_bins}/inv_only/vorbis/x_{suffix}"]).movedim(-1, -2)
        torch.testing.assert_close(audio, expected, atol=atol, rtol=0)


@pytest.mark.parametrize("num_bins", [8, 1024])
def test_gradients_are_the_transposed_transform(num_bins):
    audio = noise(2 * num_bins).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda a: mdct(a, num_bins), audio) if num_bins == 8 else True
    weights = noise(3, num_bins, seed=3)
    (gradient,) = torch.autograd.grad((mdct(audio, num_bins) * weights).sum(), audio)
    # The transpose of the analysis is the synthesis divided by 4N.
    torch.testing.assert_close(gradient, imdct(weights) / (4 * num_bins), atol=1e-15, rtol=0)


@pytest.mark.parametrize("numbers", [1, 200, 1000, 2**18])
def test_without_gradients_it_is_inverted_in_pieces(numbers, monkeypatch):
    monkeypatch.setattr(module, "PIECE_NUMBERS", numbers)
    coefficients = noise(2, 3, 41, 16)
    whole = imdct(coefficients)
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            assert torch.equal(imdct(coefficients), whole)
            assert imdct(coefficients[:, :, :1]).shape == (2, 3, 0)


def test_constants_made_in_inference_mode_can_train_later():
    with torch.inference_mode():
        mdct(noise(12), 6)
    audio = noise(12).requires_grad_(True)
    mdct(audio, 6).square().sum().backward()
    assert float(audio.grad.abs().sum()) > 0


def test_autocast_does_not_touch_precision():
    audio = noise(1280, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        inside = imdct(mdct(audio, 128))
    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, audio, atol=3e-6, rtol=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mdct(torch.zeros(100), 5), "even number"),
        (lambda: mdct(torch.zeros(100), 0), "even number"),
        (lambda: mdct(torch.zeros(100), 8, edges="crop"), "crop needs"),
        (lambda: mdct(torch.zeros(8), 8, edges="crop"), "at least 16"),
        (lambda: mdct(torch.zeros(100, dtype=torch.int16), 4), "float32 or float64"),
        (lambda: mdct(torch.zeros(100), 4, "hann"), "choose 'vorbis' or 'sine'"),
    ],
)
def test_wrong_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
