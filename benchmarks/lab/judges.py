"""The judges: generated clips of fixed seeds beside held-out ones, as loud as made and without fades.

Kernel and Frechet distance and coverage of log-mel embeddings; kernel distance and coverage of what basic-pitch hears, with
its notes per second, polyphony and share of confident cells; error of the mean level per bin; octave flatness with its
spread over clips (the mean alone is fooled by one comb of lines in every song); ripples at the frame rate and its parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from mp3net.data.dataset import CropDataset
from mp3net.dsp.mdct import imdct
from mp3net.evaluation.clips import ClipFormat, ClipSet, Slot
from mp3net.evaluation.distribution import Distances, density_and_coverage, frechet_distance, kernel_distance
from mp3net.evaluation.features import build_extractors, compute
from mp3net.evaluation.piano import PianoTranscriber
from mp3net.evaluation.spectrum import Features, checkerboard_db
from mp3net.figures import RANGE_DB, spectrogram_db
from mp3net.generation import MP3net

FIRST_SEED = 1_000_000
"""Away from the seeds that people listen to."""
REFERENCE_SEED, FLOOR_SEED = 5, 6


def real_clips(data: Path, split: str, samples: int, count: int, seed: int) -> np.ndarray:
    """Crops (n, C, S) of recordings."""
    crops: np.ndarray = CropDataset(data, samples, split).batch(seed, 0, count).numpy()
    return crops


def songs(model: MP3net, duration_s: float | None, count: int, first_seed: int = FIRST_SEED) -> np.ndarray:
    """Generated clips (n, C, S) without fades."""
    window = model.config.audio.window
    made = []
    for seed in range(first_seed, first_seed + count):
        with torch.inference_mode():
            made.append(imdct(model.coefficients(model.latent(seed, duration_s)), window).numpy())
    return np.concatenate(made)


class HeldClips(ClipSet):
    """Clips (n, C, S) in memory."""

    def __init__(self, audio: np.ndarray, rate: int) -> None:
        slots = [Slot(unit, 0) for unit in range(len(audio))]
        super().__init__("clips", ClipFormat(rate, *audio.shape[1:]), slots, [str(unit) for unit in range(len(audio))])
        self.audio = audio

    def read(self, index: int) -> np.ndarray:
        clip: np.ndarray = self.audio[index]
        return clip


class Judge:
    """Held-out clips, heard once, and what generated clips are beside them. `notes` asks basic-pitch too."""

    def __init__(self, heldout: np.ndarray, rate: int, notes: bool) -> None:
        self.rate = rate
        self.extractors = build_extractors(("spectrum", "logmel", *(["notes"] if notes else [])), 0.0, required=True)[0]
        self.heldout = heldout
        self.real = self._features(heldout)

    def _features(self, audio: np.ndarray) -> dict[str, Features]:
        return compute(HeldClips(audio, self.rate), self.extractors, lambda done: None)

    def __call__(self, audio: np.ndarray) -> dict[str, float]:
        """Readings by name of clips (n, C, S)."""
        judged = self._features(audio)
        spectra = [of["spectrum"] for of in (judged, self.real)]
        levels = [10 * np.log10(spectrum["bin_power"].mean(0) + 1e-14) for spectrum in spectra]
        flatness = spectra[0]["octave_flatness"]
        out = self._distances(judged, "logmel") | {
            "level_error_db": np.abs(levels[0] - levels[1]).mean(),
            "octave_flatness": flatness.mean(),
            "octave_flatness_spread": flatness.std(),
            "checkerboard_db": checkerboard_db(spectra[0]["modulation"].mean(0)),
        }
        if "notes" in judged:
            out |= self._distances(judged, "notes")
            for name in ("notes_per_s", "confident_share", "polyphony"):
                out[name] = judged["notes"][name].mean()
        return {name: float(value) for name, value in out.items()}

    def _distances(self, judged: dict[str, Features], name: str) -> dict[str, float]:
        reference, candidates = self.real[name]["embedding"], judged[name]["embedding"]
        rows, columns = np.arange(len(reference)), np.arange(len(candidates))
        distances = Distances(reference, candidates)
        return {
            f"kernel_{name}": kernel_distance(distances, rows, columns),
            f"frechet_{name}": frechet_distance(reference, candidates),
            f"coverage_{name}": density_and_coverage(distances, rows, columns)[1],
        }


def heard_by_transkun(audio: np.ndarray, rate: int) -> dict[str, float]:
    """Notes per second that the slow piano transcriber hears in clips (n, C, S); nothing for no clips."""
    if not len(audio):
        return {}
    found = compute(HeldClips(audio, rate), {"piano": PianoTranscriber()}, lambda done: None)
    return {"piano_notes_per_s": float(found["piano"]["notes_per_s"].mean())}


def picture(clips: Sequence[np.ndarray], rate: int) -> np.ndarray:
    """Spectrograms of clips (C, S) side by side, low frequencies at the bottom: uint8 (height, width), 16 grey levels."""
    panels = []
    for clip in clips:
        level = spectrogram_db(clip, rate)[:, ::2]  # every 23 ms
        shade = np.clip((level + 20 + RANGE_DB) / RANGE_DB, 0, 1)
        panels += [np.round(shade[::-1] * 15) * 17, np.full((len(shade), 2), 255)]
    return np.concatenate(panels[:-1], 1).astype(np.uint8)
