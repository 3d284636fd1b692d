"""Descriptors of single clips that need no learned model: levels, pitchedness, faults. Audio is (n, C, S)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from mp3net.dsp.loudness import ABSOLUTE_GATE_LUFS, STEP_S, STEPS_PER_BLOCK, Loudness
from mp3net.dsp.mdct import mdct
from mp3net.dsp.psychoacoustics import tonality
from mp3net.dsp.spectrogram import power_of_two, power_spectrogram

POWER_FLOOR = 1e-14
FLATNESS_WINDOW_S = 0.186
LOWEST_OCTAVE_HZ = 110.0
HIGHEST_SHARE_OF_RATE = 0.45
FLATNESS_FULL_DB = -60.0
SILENCE_DB = -60.0
SILENCE_FRAME_S = 0.05
CLIP_LEVEL = 0.998  # recordings are scaled to a peak of 0.999 for training
BIN_WIDTH_HZ = 86.0
MODULATION_HOPS = 128
MODULATION_GROUP = 8
STRIDE_PERIODS = (2, 4, 8, 16)

Features = dict[str, np.ndarray]


def analysis_bins(sample_rate_hz: int) -> int:
    """The power-of-two number of bins whose width is nearest to the paper's 86 Hz, independent of the model judged."""
    return power_of_two(sample_rate_hz / 2 / BIN_WIDTH_HZ)


def spectrum_features(audio: np.ndarray, sample_rate_hz: int) -> Features:
    """Descriptors of clips (n, C, S), one row each; see the functions in this file."""
    clips = torch.from_numpy(audio)
    bins = analysis_bins(sample_rate_hz)
    coefficients = mdct(clips, bins)
    features = {
        "tonality": tonality(coefficients).mean((1, 2, 3)),
        "octave_flatness": octave_flatness(clips, sample_rate_hz),
        "bin_power": coefficients.square().mean((1, 2)),
        "modulation": frame_modulation(clips, bins),
        "clipped_share": clipped_share(clips),
        "silent_share": silent_share(clips, sample_rate_hz),
        "dc": clips.mean(-1).abs().amax(-1),
    }
    out = {name: value.numpy() for name, value in features.items()}
    out["loudness_lufs"] = np.array([loudness_lufs(clip, sample_rate_hz) for clip in audio], np.float32)
    if audio.shape[1] == 2:
        out["stereo_correlation"] = stereo_correlation(audio)
    return out


def octaves_hz(sample_rate_hz: int) -> list[tuple[float, float]]:
    """Whole octaves from 110 Hz up that end below 0.45 x the sample rate."""
    edges = [LOWEST_OCTAVE_HZ]
    while 2 * edges[-1] < HIGHEST_SHARE_OF_RATE * sample_rate_hz:
        edges.append(2 * edges[-1])
    return list(pairwise(edges))


def octave_flatness(clips: Tensor, sample_rate_hz: int) -> Tensor:
    """Clips (n, C, S) -> (n,) in [0, 1]: spectral flatness within octaves in dB, over -60 dB, mean over octaves and frames.

    The window of 0.186 s separates the partials of notes, and the flatness within one octave ignores the slope of the
    spectrum, so this measures pitch. About 0.06 for any noise.
    """
    length = power_of_two(FLATNESS_WINDOW_S * sample_rate_hz)
    power = power_spectrogram(clips, length, length // 2)
    frequency_hz = torch.arange(power.shape[-2]) * (sample_rate_hz / length)
    flatness = []
    for low, high in octaves_hz(sample_rate_hz):
        band = power[:, :, (frequency_hz >= low) & (frequency_hz < high)]
        # The floor keeps silence at 0, because there both means equal it.
        geometric = band.clamp(min=POWER_FLOOR).log10().mean(-2)
        arithmetic = band.mean(-2).clamp(min=POWER_FLOOR).log10()
        flatness.append(10 * (geometric - arithmetic) / FLATNESS_FULL_DB)
    return torch.stack(flatness).clamp(0, 1).mean((0, 2, 3))


def frame_modulation(clips: Tensor, hop: int) -> Tensor:
    """Clips (n, C, S) -> (n, 129): power of the level's fluctuation by its frequency, 0 .. 1 cycle per hop.

    Level in dB of groups of 8 frequencies, in windows of one hop every half hop: a ripple of every other frame would cancel
    in longer windows, and with half hops it shows wherever the clip begins. Mean over all pieces of 128 hops.
    """
    power = power_spectrogram(clips, hop, hop // 2)[:, :, 1:]
    level_db = 10 * torch.log10(power.clamp(min=1e-10))
    whole = level_db.shape[-2] // MODULATION_GROUP * MODULATION_GROUP
    grouped = level_db[:, :, :whole].reshape(*level_db.shape[:2], -1, MODULATION_GROUP, level_db.shape[-1])
    level_db = grouped.mean(3)
    frames = min(2 * MODULATION_HOPS, level_db.shape[-1])
    pieces = level_db.unfold(-1, frames, max(frames // 2, 1))
    pieces = (pieces - pieces.mean(-1, keepdim=True)) * torch.hann_window(frames)
    spectrum: Tensor = torch.fft.rfft(pieces, 2 * MODULATION_HOPS).abs().square().mean((1, 2, 3))
    return spectrum


def checkerboard_db(modulation: np.ndarray) -> float:
    """Mean modulation (129,) -> the largest excess in dB of the lines at 2, 4, 8 and 16 hops over their neighbourhood."""
    level = 10 * np.log10(np.maximum(modulation, 1e-12))
    excess = []
    for period in STRIDE_PERIODS:
        line = MODULATION_HOPS // period
        # The Hann window spreads a line over its two neighbours; those beyond them are the background.
        around = [line - 3, line - 2, line + 2, line + 3]
        excess.append(level[line] - level[around].mean())
    return float(max(excess))


def clipped_share(clips: Tensor) -> Tensor:
    """(n,) share of samples at full scale followed by two more: a lone peak does not count."""
    full = clips.abs() >= CLIP_LEVEL
    return (full[..., :-2] & full[..., 1:-1] & full[..., 2:]).float().mean((1, 2))


def silent_share(clips: Tensor, sample_rate_hz: int) -> Tensor:
    """(n,) share of 50 ms frames whose level, over all channels, is below -60 dBFS."""
    length = max(1, min(round(SILENCE_FRAME_S * sample_rate_hz), clips.shape[-1]))
    power = clips.square().mean(1).unfold(-1, length, length).mean(-1)
    return (power < 10 ** (SILENCE_DB / 10)).float().mean(-1)


def loudness_lufs(clip: np.ndarray, sample_rate_hz: int) -> float:
    """Integrated loudness (ITU-R BS.1770) of (C, S), at least -70 LUFS; clips under one block are zero-padded."""
    missing = max(int(np.ceil(STEP_S * STEPS_PER_BLOCK * sample_rate_hz)) - clip.shape[1], 0)
    loudness = Loudness(sample_rate_hz, len(clip))
    loudness.add(np.pad(clip, ((0, 0), (0, missing))).T)
    found = loudness.integrated_lufs()
    return ABSOLUTE_GATE_LUFS if found is None else found


def stereo_correlation(audio: np.ndarray) -> np.ndarray:
    """(n, 2, S) -> (n,) correlation of both channels; 1 if either is constant (silence), or for mono on both sides."""
    centred = audio - audio.mean(-1, keepdims=True)
    product = (centred[:, 0] * centred[:, 1]).mean(-1)
    power = np.sqrt((centred**2).mean(-1).prod(-1))
    return np.where(power > POWER_FLOOR, product / np.maximum(power, POWER_FLOOR), 1.0).astype(np.float32)
