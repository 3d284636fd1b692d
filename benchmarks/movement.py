"""How levels and loudness of songs move and how they are tuned, beside recordings, as training compares them.

    python benchmarks/movement.py DATA RUN...

Clips of 5.9 s of the lab's seeds, 96 each, with the first network's own front-end and without masking noise. Of the levels
above the masking threshold and of loudness, the threshold itself (`model/mp3net2/movement.py`), for each lag: the squared
distance of the mean profile from that of training recordings, of what rises and of what falls; other training recordings
have that of chance. Of the places within bins at which they sound (`model/mp3net2/tuning.py`), for three ranges: the same,
and how much of the recordings' profile there is. Then how often loudness falls after two frames, in bins 6, 16, 32, 64, 128.
"""

from __future__ import annotations

import numpy as np
import torch
from lab.ears import Ears, clips_beside, data_and_runs
from torch import Tensor

from mp3net.model.mp3net2.movement import loudness_profile, movement_profile
from mp3net.model.mp3net2.tuning import tuning_profile

COUNT = 96
LAGS = (1, 2, 4, 8, 16)
SHOWN_LAG, SHOWN_BINS = 2, [6, 16, 32, 64, 128]
HARMONICS = 8
PLACES = {"65 to 172 Hz": slice(3, 8), "172 to 344 Hz": slice(8, 16), "344 to 800 Hz": slice(16, 37)}


def profiles(clips: np.ndarray, ears: Ears) -> dict[str, Tensor]:
    """The mean profiles (lags or harmonics, 2, F) of clips, by name."""
    found = [
        (
            movement_profile(features, LAGS),
            loudness_profile(features, LAGS, ears.front_end.loudness_gain),
            tuning_profile(features, ears.audio, HARMONICS),
        )
        for features in ears.features(clips)
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
    options = data_and_runs(__doc__)
    ears = Ears(options.runs[0])
    real: dict[str, Tensor] = {}
    for name, clips in clips_beside(options.data, options.runs, ears.audio, COUNT):
        found = profiles(clips.astype(np.float32), ears)
        real = real or found
        for what in ("levels", "loudness"):
            print(f"{name}: {what}: {compared(real[what], found[what])}", flush=True)
        print(f"{name}: tuning: {tuned(real['tuning'], found['tuning'])}", flush=True)
        falls = found["loudness"][LAGS.index(SHOWN_LAG), 1, SHOWN_BINS]
        print(f"{name}: loudness falls", " ".join(f"{value:.3f}" for value in falls.tolist()), flush=True)


if __name__ == "__main__":
    main()
