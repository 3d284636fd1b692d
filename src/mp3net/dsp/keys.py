"""Keys, by numpy alone: in which a generator plays a song.

An octave has K steps, and a song is in one of K keys, a step apart. Every block of the generator hears which: one of K
channels is 1, the same in all frames. How many recordings are in each key is measured in the data; a normal number z of the
song's latent stands for the key in whose part of the distribution Phi(z) lies. `model/mp3net2/harmony.py` has the same for
batches, in PyTorch.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np


def key_channels(latent: float, shares_upto: np.ndarray) -> np.ndarray:
    """A normal number, and the share of recordings in each key or one before it (K,), rising to 1 -> (K,), float32: 1 for
    the song's key, 0 for the others."""
    number = int((shares_upto[:-1] <= NormalDist().cdf(latent)).sum())
    channels = np.zeros(len(shares_upto), np.float32)
    channels[number] = 1
    return channels


def evenly(steps: int) -> np.ndarray:
    """The shares of keys that are equally frequent: of networks that were not given any."""
    return np.asarray((np.arange(steps) + 1) / steps, np.float32)
