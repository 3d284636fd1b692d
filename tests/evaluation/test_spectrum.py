"""Descriptors of clips: invariants, closed forms and other implementations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mp3net.dsp.mdct import mdct
from mp3net.evaluation import spectrum
from mp3net.evaluation.embeddings import LogMel, log_mel_db, mel_filters
from mp3net.evaluation.ladder import band_noise, random_signs, white_noise
from tests.recordings import piece

RATE = 22016


@pytest.fixture(scope="module")
def music() -> np.ndarray:
    return np.stack([piece(6.0, RATE, seed).T for seed in range(4)])


def sine(frequency_hz: float, seconds: float = 2.0, amplitude: float = 0.5, rate: int = RATE) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * frequency_hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def spoilt(fault, music) -> np.ndarray:
    return np.stack([fault(clip, RATE, np.random.default_rng(number)) for number, clip in enumerate(music)])


def flatness(clips: np.ndarray, rate: int = RATE) -> float:
    return float(spectrum.octave_flatness(torch.from_numpy(clips), rate).mean())


def test_octave_flatness_by_hand():
    rng = np.random.default_rng(0)
    clip = rng.standard_normal(20000).astype(np.float32)
    frames = np.pad(clip, 2048)
    window = np.hanning(4097)[:-1]
    values = []
    for start in range(0, len(clip) + 1, 2048):
        power = (np.abs(np.fft.rfft(frames[start : start + 4096] * window)) * 2 / window.sum()) ** 2
        frequency = np.fft.rfftfreq(4096, 1 / RATE)
        for octave in range(6):
            band = power[(frequency >= 110 * 2**octave) & (frequency < 220 * 2**octave)]
            values.append(-10 * (np.log10(band).mean() - np.log10(band.mean())) / 60)
    assert flatness(clip[None, None]) == pytest.approx(np.mean(values), abs=2e-4)


def test_octaves_are_whole_and_below_the_limit():
    assert spectrum.octaves_hz(22016)[0] == (110, 220)
    assert spectrum.octaves_hz(22016)[-1] == (3520, 7040)
    assert spectrum.octaves_hz(11008)[-1] == (1760, 3520)
    assert spectrum.octaves_hz(44100)[-1] == (7040, 14080)


def test_octave_flatness_sees_pitch_and_ignores_the_slope(music):
    real, fakes = flatness(music), [flatness(spoilt(fault, music)) for fault in (random_signs, band_noise, white_noise)]
    assert real > 2.5 * max(fakes)
    tilt = np.fft.irfft(np.fft.rfft(white_noise(music[0], RATE, np.random.default_rng(0))) / np.sqrt(1 + np.arange(66049)))
    assert abs(flatness(tilt[None].astype(np.float32)) - fakes[2]) < 0.02
    assert flatness(np.zeros((1, 1, 9000), np.float32)) == 0


def test_tonality_by_hand(music):
    coefficients = mdct(torch.from_numpy(music[:1]).double(), 128).numpy()[0, 0]
    intensity = np.maximum(coefficients**2, 1e-14)
    flatness_db = 10 * np.log10(np.exp(np.log(intensity).mean(1)) / (coefficients**2).mean(1).clip(1e-14))
    expected = np.clip(flatness_db / -60, 0, 1).mean()
    assert spectrum.spectrum_features(music[:1], RATE)["tonality"][0] == pytest.approx(expected, abs=2e-3)


def test_tonality_does_not_see_signs(music):
    before, after = (
        spectrum.spectrum_features(clips, RATE)["tonality"].mean() for clips in (music, spoilt(random_signs, music))
    )
    assert abs(before - after) < 0.01


def test_bin_power_is_the_mean_square_of_the_audio(music):
    power = spectrum.spectrum_features(music, RATE)["bin_power"]
    assert power.shape == (4, 128)
    # sum A^2 = sum x^2 / (4 N), and a frame has N coefficients
    expected = np.square(music).mean((1, 2)) / 4 / 128 * 1032 / 1033
    assert np.allclose(power.mean(1), expected, rtol=0.01)


@pytest.mark.parametrize("period", [2, 4, 8, 16])
@pytest.mark.parametrize("offset", [0, 37])
def test_checkerboard_sees_ripples_of_every_stride(period, offset):
    noise = np.random.default_rng(period).standard_normal((4, 1, 128 * 600)).astype(np.float32) * 0.1
    gains = np.where(np.arange(600) % period == 0, 10 ** (1.5 / 20), 1.0).repeat(128).astype(np.float32)
    clean, rippled = (
        spectrum.checkerboard_db(spectrum.frame_modulation(torch.from_numpy(x[..., offset:]), 128).mean(0).numpy())
        for x in (noise, noise * gains)
    )
    assert clean < 1
    # One hop in P is raised, so the line is lower the longer the period.
    assert rippled > clean + {2: 4, 4: 4, 8: 2, 16: 0.5}[period]


def test_modulation_of_a_known_ripple():
    # A level of +-6 dB at a quarter of a cycle per hop: a line of (6 x the Hann window's sum / 2)^2 = (6 x 64)^2 at 32.
    time = np.arange(128 * 600)
    noise = 0.05 * np.random.default_rng(0).standard_normal(len(time))
    ripple = 10 ** (6 * np.sin(2 * np.pi * time / (4 * 128)) / 20)
    clips = torch.from_numpy((noise * ripple).astype(np.float32)[None, None])
    modulation = spectrum.frame_modulation(clips, 128)[0].numpy()
    assert modulation.shape == (129,)
    assert modulation.argmax() == 32
    # The window of one hop smooths the ripple a little.
    assert 0.7 * (6 * 64) ** 2 < modulation[32] < 1.05 * (6 * 64) ** 2


def test_simple_faults_in_closed_form():
    clip = np.zeros((1, 1, 44032), np.float32)
    clip[..., :11008] = 0.25
    clip[..., 100:110] = 1.0
    features = spectrum.spectrum_features(clip, RATE)
    assert features["clipped_share"][0] == pytest.approx(8 / (44032 - 2))
    clip[..., 102:110] = 0.25
    assert spectrum.spectrum_features(clip, RATE)["clipped_share"][0] == 0  # two samples at full scale are no clipping
    clip[..., 102:110] = 1.0
    assert features["silent_share"][0] == pytest.approx(0.75, abs=0.03)
    assert features["dc"][0] == pytest.approx((0.25 * 10998 + 10) / 44032, rel=1e-4)
    assert "stereo_correlation" not in features


def test_loudness_of_a_known_tone():
    # EBU Tech 3341: a stereo 1 kHz sine of -23 dBFS peak has -23 LUFS.
    tone = np.stack([sine(1000, 5, 10 ** (-23 / 20), 48000)] * 2)
    assert spectrum.loudness_lufs(tone, 48000) == pytest.approx(-23, abs=0.1)
    assert spectrum.loudness_lufs(np.zeros((2, 48000), np.float32), 48000) == -70
    assert spectrum.loudness_lufs(tone[:, :9600], 48000) < -23  # shorter than a block: padded with silence


def test_stereo_correlation():
    rng = np.random.default_rng(0)
    left, other = rng.standard_normal((2, 30000))
    pairs = np.stack([[left, left], [left, -left], [left, other], [left, 0 * left]]).astype(np.float32)
    assert spectrum.stereo_correlation(pairs) == pytest.approx([1, -1, 0, 1], abs=0.02)


def test_analysis_bins_are_those_of_the_papers_presets():
    """Also for models with finer bins: numbers of all models at one sample rate are to be comparable."""
    from mp3net.config import PRESETS

    for preset in PRESETS.values():
        if preset.model.kind == "paper":
            assert spectrum.analysis_bins(preset.audio.sample_rate_hz) == preset.audio.num_bins


def test_mel_filters_have_area_one_and_no_empty_band():
    for rate in (8000, 11008, 22016, 44100):
        filters = mel_filters(rate, 1 << round(np.log2(0.046 * rate))).numpy()
        assert np.allclose(filters.sum(1), 1, atol=1e-5)
        centres = filters @ np.arange(filters.shape[1])
        assert (np.diff(centres) >= 0).all()


def test_log_mel_of_a_sine():
    level = log_mel_db(torch.from_numpy(sine(46 * RATE / 1024, amplitude=1.0)[None, None]), RATE)[0, :, 10:-10]
    weights = mel_filters(RATE, 1024).numpy()
    # On a line of the spectrum a full-scale sine has the powers 1/4, 1, 1/4 there and beside.
    expected = 10 * np.log10(np.maximum(weights[:, 45:48] @ [0.25, 1, 0.25], 1e-9))
    heard = expected > -60
    assert heard.sum() >= 2
    assert np.allclose(level.mean(1).numpy()[heard], expected[heard], atol=0.05)


def test_gain_shifts_only_the_means_of_the_log_mel_embedding():
    clips = 0.1 * np.random.default_rng(0).standard_normal((3, 2, 30000)).astype(np.float32)
    before, after = LogMel()(clips, RATE), LogMel()(clips * np.float32(0.5), RATE)
    assert before.shape == (3, 120)
    assert np.allclose((after - before)[:, :40], -6.02, atol=0.01)
    assert np.allclose((after - before)[:, 40:], 0, atol=0.01)
