"""How levels and loudness of songs move and how they are tuned, beside recordings, as training compares them.

    python benchmarks/movement.py DATA RUN...

Clips of 5.9 s of the lab's seeds, 96 each, with the first network's own front-end and without masking noise. Of the levels
above the masking threshold and of loudness, the threshold itself (`model/mp3net2/movement.py`), for each lag: the squared
distance of the mean profile from that of training recordings, of what rises and of what falls; other training recordings
have that of chance. Of the places within bins at which they sound (`model/mp3net2/tuning.py`), for three ranges: the same,
and how much of the recordings' profile there is. Then how often loudness falls after two frames, in bins 6, 16, 32, 64, 128.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from lab.judges import REFERENCE_SEED, real_clips, songs
from lab.worker import CLIPS
from torch import Tensor

from mp3net.config import AudioConfig
from mp3net.dsp.mdct import mdct
from mp3net.generation import MP3net
from mp3net.model.build import build_networks
from mp3net.model.mp3net2.discriminator import Discriminator
from mp3net.model.mp3net2.front_end import FrontEnd
from mp3net.model.mp3net2.movement import loudness_profile, movement_profile
from mp3net.model.mp3net2.tuning import tuning_profile
from mp3net.model.snapshot import open_snapshot

COUNT, TRAINING_SEED, OTHER_SEED = 96, 7, 8
LAGS = (1, 2, 4, 8, 16)
SHOWN_LAG, SHOWN_BINS = 2, [6, 16, 32, 64, 128]
HARMONICS = 8
PLACES = {"65 to 172 Hz": slice(3, 8), "172 to 344 Hz": slice(8, 16), "344 to 800 Hz": slice(16, 37)}


def profiles(audio: np.ndarray, front_end: FrontEnd, settings: AudioConfig) -> dict[str, Tensor]:
    """The mean profiles (lags or harmonics, 2, F) of clips, by name."""
    with torch.inference_mode():
        coefficients = mdct(torch.from_numpy(audio).float(), settings.num_bins, settings.window, edges="crop")
        found = [
            (
                movement_profile(features, LAGS),
                loudness_profile(features, LAGS, front_end.loudness_gain),
                tuning_profile(features, settings, HARMONICS),
            )
            for features in (front_end(one[None]) for one in coefficients)
        ]
        names = ("levels", "loudness", "tuning")
        return {name: torch.cat(values).mean(0) for name, values in zip(names, zip(*found, strict=True), strict=True)}


def compared(real: Tensor, found: Tensor) -> str:
    """Squared distances for each lag, of rises and of falls."""
    away = (found - real).square().sum(2)
    rises, falls = (" ".join(f"{value:.3f}" for value in column.tolist()) for column in away.T)
    return f"rises {rises}; falls {falls}"


def tuned(real: Tensor, found: Tensor) -> str:
    """Of three ranges: squared distances, and how much of the recordings' profile there is, 1 for all of it."""
    shown = []
    for name, bins in PLACES.items():
        of_real, of_found = real[..., bins], found[..., bins]
        share = (of_real * of_found).sum() / of_real.square().sum()
        shown.append(f"{name} {float((of_found - of_real).square().sum()):.3f}, {float(share):.2f}")
    return "; ".join(shown)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path, nargs="+", help="snapshots of the second family; the first one's front-end hears")
    options = parser.parse_args()
    first = open_snapshot(options.runs[0])
    discriminator = build_networks(first.config).discriminator
    first.load_discriminator(discriminator)
    assert isinstance(discriminator, Discriminator)
    rate = first.config.audio.sample_rate_hz
    samples = round(CLIPS["6s"][0] * rate) // first.config.audio.num_bins * first.config.audio.num_bins
    clips = {"training recordings": real_clips(options.data, "train", samples, COUNT, TRAINING_SEED)}
    clips["other training recordings"] = real_clips(options.data, "train", samples, COUNT, OTHER_SEED)
    clips["held out"] = real_clips(options.data, "heldout", samples, COUNT, REFERENCE_SEED)
    for run in options.runs:
        clips[str(run)] = songs(MP3net.from_pretrained(run), samples / rate, COUNT)[..., :samples]
    real: dict[str, Tensor] = {}
    for name, audio in clips.items():
        found = profiles(audio, discriminator.front_end, first.config.audio)
        real = real or found
        for what in ("levels", "loudness"):
            print(f"{name}: {what}: {compared(real[what], found[what])}", flush=True)
        print(f"{name}: tuning: {tuned(real['tuning'], found['tuning'])}", flush=True)
        falls = found["loudness"][LAGS.index(SHOWN_LAG), 1, SHOWN_BINS]
        print(f"{name}: loudness falls", " ".join(f"{value:.3f}" for value in falls.tolist()), flush=True)


if __name__ == "__main__":
    main()
