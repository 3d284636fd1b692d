"""How a clip holds together over time. Needs clips of 10 s or more; audio is (n, C, S)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from mp3net.dsp.spectrogram import power_of_two, power_spectrogram
from mp3net.evaluation.embeddings import log_mel_db
from mp3net.evaluation.spectrum import FLATNESS_WINDOW_S, Features

MIN_CLIP_S = 10.0
BLOCK_S = 0.5
CHROMA_LOW_HZ, CHROMA_HIGH_HZ = 65.0, 4000.0
KEY_WINDOW_S = 5.0
TEMPO_WINDOW_S = 6.0
BEAT_LAGS_S = (0.3, 1.5)
PULSE_LAGS_S = (3.0, 6.0)
RECURRENCE_STACK_S = 2.0
RECURRENCE_MIN_LAG_S = 4.0
# Tone profiles of keys: Krumhansl and Kessler 1982.
MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)


def structure_features(audio: np.ndarray, sample_rate_hz: int) -> Features:
    """Descriptors of clips, one row each; mp3net computes them for clips of 10 s or more."""
    clips = torch.from_numpy(audio)
    chroma = chroma_blocks(clips, sample_rate_hz)
    level = log_mel_db(clips, sample_rate_hz)
    frames_per_s = (level.shape[-1] - 1) * sample_rate_hz / clips.shape[-1]
    mel = _blocks(level, frames_per_s)
    onsets = level.diff(dim=-1).clamp(min=0).mean(1).numpy()
    loudness = block_levels_db(clips, sample_rate_hz)
    tempo = [local_tempo(curve, frames_per_s) for curve in onsets]
    return {
        "key_stability": np.array([key_stability(clip) for clip in chroma], np.float32),
        "recurrence": np.array([recurrence(clip) for clip in chroma], np.float32),
        "beat_strength": np.array([strength for strength, _ in tempo], np.float32),
        "tempo_spread": np.array([spread for _, spread in tempo], np.float32),
        "pulse": np.array([pulse(curve, frames_per_s) for curve in onsets], np.float32),
        "thirds_timbre_db": thirds_timbre_db(mel),
        "thirds_chroma": thirds_chroma(chroma),
        "level_spread_db": loudness.std(1),
    }


def _blocks(values: Tensor, frames_per_s: float) -> np.ndarray:
    """(n, D, frames) -> means over half seconds (n, blocks, D)."""
    count = max(1, int(values.shape[-1] / (BLOCK_S * frames_per_s)))
    edges = np.linspace(0, values.shape[-1], count + 1).astype(int)
    return np.stack([values[..., a:b].mean(-1).numpy() for a, b in pairwise(edges)], 1)


def chroma_blocks(clips: Tensor, sample_rate_hz: int) -> np.ndarray:
    """Clips -> (n, blocks, 12): share of amplitude per pitch class and half second, C first; 65 to 4000 Hz, sum 1."""
    length = power_of_two(FLATNESS_WINDOW_S * sample_rate_hz)
    power = power_spectrogram(clips, length, length // 4).mean(1)
    frequency_hz = np.arange(power.shape[1]) * sample_rate_hz / length
    used = (frequency_hz > CHROMA_LOW_HZ) & (frequency_hz < min(CHROMA_HIGH_HZ, sample_rate_hz / 2))
    semitone = 69 + 12 * np.log2(np.maximum(frequency_hz, 1.0) / 440)
    nearness = np.exp(-0.5 * ((semitone - np.rint(semitone)) / 0.25) ** 2) * used
    fold = np.zeros((12, len(frequency_hz)), np.float32)
    fold[np.rint(semitone).astype(int) % 12, np.arange(len(frequency_hz))] = nearness
    frames_per_s = (power.shape[-1] - 1) * sample_rate_hz / clips.shape[-1]
    chroma = _blocks(torch.from_numpy(fold) @ power.sqrt(), frames_per_s) + 1e-9
    return np.asarray(chroma / chroma.sum(-1, keepdims=True))


def block_levels_db(clips: Tensor, sample_rate_hz: int) -> np.ndarray:
    """Clips -> level in dB of every half second (n, blocks), at least -90: the level curve."""
    length = round(BLOCK_S * sample_rate_hz)
    power = clips.square().mean(1).unfold(-1, length, length).mean(-1)
    return (10 * torch.log10(power.clamp(min=1e-9))).numpy()


def _standardise(values: np.ndarray) -> np.ndarray:
    centred = values - values.mean(-1, keepdims=True)
    return np.asarray(centred / np.maximum(np.linalg.norm(centred, axis=-1, keepdims=True), 1e-9))


def best_key(chroma: np.ndarray) -> np.ndarray:
    """(..., 12) -> key 0..23 (major C first, then minor): highest correlation with the tone profiles."""
    profiles = np.array([np.roll(profile, tonic) for profile in (MAJOR, MINOR) for tonic in range(12)])
    return np.asarray((_standardise(chroma) @ _standardise(profiles).T).argmax(-1))


def key_stability(chroma: np.ndarray) -> float:
    """(blocks, 12) -> share of 5 s windows whose key is that of the whole clip."""
    size = round(KEY_WINDOW_S / BLOCK_S)
    starts = range(0, len(chroma) - size + 1, size // 2)
    local = best_key(np.stack([chroma[start : start + size].mean(0) for start in starts]))
    return float((local == best_key(chroma.mean(0))).mean())


def similarity_matrix(chroma: np.ndarray) -> np.ndarray:
    """(blocks, 12) -> (blocks, blocks) correlations of chroma, with the clip's mean removed."""
    return np.asarray(_standardise(chroma - chroma.mean(0)) @ _standardise(chroma - chroma.mean(0)).T)


def recurrence(chroma: np.ndarray) -> float:
    """Mean over 2 s passages of their highest correlation with any passage at least 4 s away: how much recurs."""
    size, lag = round(RECURRENCE_STACK_S / BLOCK_S), round(RECURRENCE_MIN_LAG_S / BLOCK_S)
    matrix = similarity_matrix(chroma)
    count = len(chroma) - size + 1
    passages = sum(matrix[i : i + count, i : i + count] for i in range(size)) / size
    far = np.abs(np.arange(count)[:, None] - np.arange(count)) >= lag
    return float(np.where(far, passages, -1).max(1).mean())


def autocorrelation(curve: np.ndarray) -> np.ndarray:
    """Autocorrelation of a curve (T,), each lag divided by its overlap; 1 at lag 0, zero everywhere for a constant curve."""
    centred = curve - curve.mean()
    spectrum = np.fft.rfft(centred, 2 * len(curve))
    sums = np.fft.irfft(np.abs(spectrum) ** 2)[: len(curve)]
    power = sums[0] / len(curve)
    overlap = np.arange(len(curve), 0, -1)
    return np.asarray(sums / overlap / power) if power > 1e-12 else np.zeros(len(curve))


def local_tempo(onsets: np.ndarray, frames_per_s: float) -> tuple[float, float]:
    """Onset curve (T,) -> beat strength (mean height of the best beat lag) and spread of local tempo in octaves.

    Windows of 6 s; lags of 0.3 to 1.5 s. The spread is the median distance from the median, robust to octave jumps.
    """
    size = round(TEMPO_WINDOW_S * frames_per_s)
    low, high = (round(lag * frames_per_s) for lag in BEAT_LAGS_S)
    strengths, tempi = [], []
    for start in range(0, max(len(onsets) - size, 0) + 1, size // 2):
        lags = autocorrelation(onsets[start : start + size])[low : high + 1]
        strengths.append(float(lags.max()))
        tempi.append(np.log2(frames_per_s / (low + int(lags.argmax()))))
    spread = np.median(np.abs(np.array(tempi) - np.median(tempi)))
    return float(np.mean(strengths)), float(spread)


def pulse(onsets: np.ndarray, frames_per_s: float) -> float:
    """Onset curve (T,) -> its highest autocorrelation at lags of 3 to 6 s: whether the beat keeps its phase over bars."""
    low, high = (round(lag * frames_per_s) for lag in PULSE_LAGS_S)
    return float(autocorrelation(onsets)[low : high + 1].max())


def _thirds(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    third = values.shape[1] // 3
    return values[:, :third].mean(1), values[:, -third:].mean(1)


def thirds_timbre_db(mel: np.ndarray) -> np.ndarray:
    """(n, blocks, bands) in dB -> (n,) root-mean-square difference in dB between the first and last third."""
    first, last = _thirds(mel)
    return np.asarray(np.sqrt(np.square(first - last).mean(-1)))


def thirds_chroma(chroma: np.ndarray) -> np.ndarray:
    """(n, blocks, 12) -> (n,) correlation of the pitch classes of the first and last third: 1 means the same pitches."""
    first, last = _thirds(chroma)
    return np.asarray((_standardise(first) * _standardise(last)).sum(-1))
