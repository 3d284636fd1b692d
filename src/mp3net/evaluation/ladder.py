"""The ladder: real clips degraded in known ways. A metric is only as good as its readings of these.

Every fault is a function (clip (C, S), sample rate, random source) -> clip of the same shape; the random source is addressed
by the rung and the clip, so a rung does not depend on what is computed before it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from mp3net.dsp.mdct import imdct, mdct
from mp3net.dsp.spectrogram import power_of_two
from mp3net.evaluation.clips import ClipSet, RealSets, Slot
from mp3net.evaluation.spectrum import analysis_bins

Fault = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]

NOISE_DB = -70.0
FADE_S = 0.01
MAX_SEGMENT_S = 2.0
SEGMENTS_PER_CLIP = 6
BAND_OCTAVES = 1 / 3
RIPPLE_DB = 2.0
RIPPLE_FRAMES = 4
OVERDRIVE_DB = 12.0
OVERDRIVE_DC = 0.02
VOCODER_WINDOW_S = 0.046


@dataclass(frozen=True)
class Rung:
    """One step of the ladder. `fault` is None if the rung uses other clips instead of degraded ones."""

    name: str
    meaning: str
    fault: Fault | None = None


def faint_noise(clip: np.ndarray, sample_rate_hz: int, random: np.random.Generator) -> np.ndarray:
    """Adds white noise at -70 dBFS."""
    noise = 10 ** (NOISE_DB / 20) * random.standard_normal(clip.shape)
    return np.asarray(clip + noise, np.float32)


def random_signs(clip: np.ndarray, sample_rate_hz: int, random: np.random.Generator) -> np.ndarray:
    """Every MDCT coefficient keeps its magnitude and gets a random sign."""
    coefficients = mdct(torch.from_numpy(clip), analysis_bins(sample_rate_hz))
    signs = 2.0 * random.integers(0, 2, tuple(coefficients.shape)) - 1
    return imdct(coefficients * torch.from_numpy(signs).float()).numpy()[:, : clip.shape[1]].copy()


def frame_ripple(clip: np.ndarray, sample_rate_hz: int, random: np.random.Generator) -> np.ndarray:
    """Every fourth MDCT frame 2 dB louder: the hum of strided layers."""
    coefficients = mdct(torch.from_numpy(clip), analysis_bins(sample_rate_hz))
    coefficients[:, int(random.integers(RIPPLE_FRAMES)) :: RIPPLE_FRAMES] *= 10 ** (RIPPLE_DB / 20)
    return imdct(coefficients).numpy()[:, : clip.shape[1]].copy()


def _bands(frequency_hz: np.ndarray) -> np.ndarray:
    """The third-octave band of each frequency; everything below 50 Hz is band 0."""
    octaves = np.log2(np.maximum(frequency_hz, 50.0) / 50.0)
    return np.asarray(np.floor(octaves / BAND_OCTAVES), np.int64)


def band_noise(clip: np.ndarray, sample_rate_hz: int, random: np.random.Generator) -> np.ndarray:
    """Steady noise with the clip's level in every third of an octave."""
    samples = clip.shape[1]
    band = _bands(np.fft.rfftfreq(samples, 1 / sample_rate_hz))
    out = np.empty_like(clip)
    for channel, sound in enumerate(clip):
        noise = np.fft.rfft(random.standard_normal(samples))
        wanted, present = (np.bincount(band, np.abs(s) ** 2) for s in (np.fft.rfft(sound), noise))
        out[channel] = np.fft.irfft(noise * np.sqrt(wanted / np.maximum(present, 1e-12))[band], samples)
    return out


def vocoded(clip: np.ndarray, sample_rate_hz: int, random: np.random.Generator) -> np.ndarray:
    """Noise that follows the clip's level in every third of an octave, every 12 ms: rhythm and loudness without pitch."""
    length = power_of_two(VOCODER_WINDOW_S * sample_rate_hz)
    window = torch.hann_window(length)
    band = torch.from_numpy(_bands(np.fft.rfftfreq(length, 1 / sample_rate_hz)))
    noise = torch.from_numpy(random.standard_normal(clip.shape).astype(np.float32))
    sound, carrier = (
        torch.stft(x, length, length // 4, window=window, pad_mode="constant", return_complex=True)
        for x in (torch.from_numpy(clip), noise)
    )
    levels = []
    for spectrum in (sound, carrier):
        power = torch.zeros(len(clip), int(band[-1]) + 1, spectrum.shape[-1])
        levels.append(power.index_add_(1, band, spectrum.abs().square()).clamp(min=1e-12).sqrt())
    shaped = carrier * (levels[0] / levels[1])[:, band]
    return torch.istft(shaped, length, length // 4, window=window, length=clip.shape[1]).numpy()


def shuffled(clip: np.ndarray, sample_rate_hz: int, random: np.random.Generator) -> np.ndarray:
    """Segments of a sixth of the clip, at most 2 s, in random order with 10 ms cross-fades."""
    samples = clip.shape[1]
    length = min(round(MAX_SEGMENT_S * sample_rate_hz), samples // SEGMENTS_PER_CLIP)
    fade = min(round(FADE_S * sample_rate_hz), length // 4)
    starts = np.arange(0, samples - length + 1, length)
    ramp = np.sin(np.pi / 2 * (np.arange(fade) + 0.5) / fade).astype(np.float32)
    out = np.zeros_like(clip)
    extended = np.pad(clip, ((0, 0), (0, length)))
    for target, start in zip(starts, random.permutation(starts), strict=True):
        segment = extended[:, start : start + length + fade].copy()
        segment[:, :fade] *= ramp if target else 1.0
        segment[:, -fade:] *= ramp[::-1]
        fitting = min(segment.shape[1], samples - target)
        out[:, target : target + fitting] += segment[:, :fitting]
    return out


def overdriven(clip: np.ndarray, sample_rate_hz: int, random: np.random.Generator) -> np.ndarray:
    """12 dB too loud, with an offset of 0.02, clipped at full scale."""
    return np.asarray(np.clip(clip * 10 ** (OVERDRIVE_DB / 20) + OVERDRIVE_DC, -1, 1), np.float32)


def white_noise(clip: np.ndarray, sample_rate_hz: int, random: np.random.Generator) -> np.ndarray:
    """White noise as loud as the clip."""
    level = np.sqrt(np.mean(np.square(clip)))
    return np.asarray(level * random.standard_normal(clip.shape), np.float32)


def silence(clip: np.ndarray, sample_rate_hz: int, random: np.random.Generator) -> np.ndarray:
    """Nothing."""
    return np.zeros_like(clip)


REAL_AGAIN = Rung("real again", "other real clips: the floor")
COPIES = Rung("training copies", "exact copies of training data")
ONE_CLIP = Rung("one clip", "one real clip over and over: total mode collapse")
FAULTS = (
    Rung("faint noise", "real + white noise at -70 dBFS", faint_noise),
    Rung("frame ripple", "every fourth MDCT frame 2 dB louder: the hum of strided layers", frame_ripple),
    Rung("random signs", "real MDCT magnitudes, random signs: pitch destroyed", random_signs),
    Rung("shuffled", "segments in random order", shuffled),
    Rung("vocoded", "noise that follows the levels of third octaves in time", vocoded),
    Rung("band noise", "steady noise with the levels of third octaves", band_noise),
    Rung("overdriven", "12 dB too loud, offset 0.02, clipped", overdriven),
    Rung("white noise", "white noise as loud as the clip", white_noise),
    Rung("silence", "nothing", silence),
)
RUNGS = (REAL_AGAIN, COPIES, ONE_CLIP, *FAULTS)


class OneClip(ClipSet):
    """The first clip of a set, repeated."""

    def __init__(self, clips: ClipSet) -> None:
        slots = [Slot(unit, clips.slots[0].start) for unit in range(len(clips))]
        names = [clips.sources[0]] * len(clips)
        super().__init__(ONE_CLIP.name, clips.form, slots, names, f"{clips.identity}/{ONE_CLIP.name}")
        self.distinct = 1
        self._clip = clips.read(0)

    def read(self, index: int) -> np.ndarray:
        return self._clip


class FaultyClips(ClipSet):
    """The clips of a set, each degraded by the fault of a rung."""

    def __init__(self, clips: ClipSet, rung: Rung, fault: Fault, seed: int) -> None:
        super().__init__(rung.name, clips.form, clips.slots, clips.names, f"{clips.identity}/{rung.name}")
        self.distinct = 1 if fault is silence else len(clips)
        self._clips, self._fault, self._address = clips, fault, (seed, RUNGS.index(rung))

    def read(self, index: int) -> np.ndarray:
        random = np.random.default_rng([*self._address, index])
        return self._fault(self._clips.read(index), self.form.sample_rate_hz, random)


def rung_set(rung: Rung, sets: RealSets, seed: int) -> ClipSet:
    """The clips of a rung, as many as in the real sets."""
    if rung is COPIES:
        return sets.training
    if rung is ONE_CLIP:
        return OneClip(sets.again)
    return sets.again if rung.fault is None else FaultyClips(sets.again, rung, rung.fault, seed)
