"""What a slider might change about a song, as a listener would say it: one number per clip each. Audio is (n, C, S)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mp3net.dsp.spectrogram import power_of_two, power_spectrogram
from mp3net.evaluation.embeddings import log_mel_db
from mp3net.evaluation.structure import autocorrelation

WINDOW_S = 0.093
LOWEST_HZ, REGISTER_HIGHEST_HZ = 65.0, 1000.0
HIGHEST_SHARE_OF_RATE = 0.45
# An onset is a rise of the mean log-mel level of so many dB from frame to frame, higher than its neighbours.
ONSET_DB = 0.6
# Half or twice a beat is a beat, too: within one octave there is one, and a sharper quaver does not double the tempo.
OCTAVE_LAGS_S = (0.35, 0.7)
UNITS = {"level": "dB", "brightness": "octaves", "register": "octaves", "density": "onsets/s", "tempo": "octaves"}


def attributes(audio: np.ndarray, sample_rate_hz: int) -> dict[str, np.ndarray]:
    """By name, (n,) each, in the UNITS:

    level: of the mean power. brightness: mean of log2 f, weighted by amplitude, up to 0.45 of the sample rate; register: the
    same weighted by power, 65 to 1,000 Hz, where the notes themselves are. density: onsets per second. tempo: log2 of beats
    per second, by the highest sum of the onset curve's autocorrelations at a lag of 0.35 to 0.7 s and at twice that.
    """
    clips = torch.from_numpy(audio).float()
    length = power_of_two(WINDOW_S * sample_rate_hz)
    power = power_spectrogram(clips, length, length // 2).mean((1, -1))  # over channels and frames: (n, bins)
    frequencies = torch.arange(power.shape[-1]) * (sample_rate_hz / length)
    level = log_mel_db(clips, sample_rate_hz)
    frames_per_s = (level.shape[-1] - 1) * sample_rate_hz / clips.shape[-1]
    onsets = level.diff(dim=-1).clamp(min=0).mean(1).numpy()
    highest_hz = HIGHEST_SHARE_OF_RATE * sample_rate_hz
    return {
        "level": 10 * np.log10(np.maximum(np.square(audio, dtype=np.float64).mean((1, 2)), 1e-9)),
        "brightness": _mean_octave(power.sqrt(), frequencies, highest_hz),
        "register": _mean_octave(power, frequencies, REGISTER_HIGHEST_HZ),
        "density": np.array([density(curve, frames_per_s) for curve in onsets]),
        "tempo": np.array([tempo(curve, frames_per_s) for curve in onsets]),
    }


def _mean_octave(weight: Tensor, frequencies: Tensor, highest_hz: float) -> np.ndarray:
    inside = (frequencies >= LOWEST_HZ) & (frequencies <= highest_hz)
    weight = weight[:, inside] + 1e-12
    mean: np.ndarray = ((weight * frequencies[inside].log2()).sum(-1) / weight.sum(-1)).double().numpy()
    return mean


def density(onsets: np.ndarray, frames_per_s: float) -> float:
    """Onset curve (T,) in dB per frame -> onsets per second."""
    middle = onsets[1:-1]
    peaks = (middle > onsets[:-2]) & (middle >= onsets[2:]) & (middle > ONSET_DB)
    return float(peaks.sum()) * frames_per_s / len(onsets)


def tempo(onsets: np.ndarray, frames_per_s: float) -> float:
    """Onset curve (T,) -> log2 of beats per second, within one octave."""
    low, high = (round(lag * frames_per_s) for lag in OCTAVE_LAGS_S)
    heights = autocorrelation(onsets)
    lag = low + int((heights[low : high + 1] + heights[2 * low : 2 * high + 1 : 2]).argmax())
    return float(np.log2(frames_per_s / lag))
