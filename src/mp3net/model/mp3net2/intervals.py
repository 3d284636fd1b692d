"""Which intervals sound together and follow each other, so that the harmony of songs is as rich as that of recordings.

A generator finds the chords that are heard most often and stays with them: octaves, fifths and thirds. The whole tones
and minor sevenths of passing notes and suspensions, each rare, come half as often as in recordings, and a discriminator
whose slope is penalised hardly hears what is missing from a song that is right at every moment.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mp3net.config import AudioConfig
from mp3net.model.mp3net2.harmony import MIDDLE_HZ, octaves_of_bins

# Where most notes have their fundamental. Above, there are partials, among which all intervals are common.
LOWEST_HZ, HIGHEST_HZ = 100.0, 800.0
SEMITONES = 12
# Intervals of up to two octaves, upwards and downwards.
WIDEST = 2 * SEMITONES
NUM_INTERVALS = 2 * WIDEST + 1
# How much the loudest count: of the compressed levels of the features, fundamentals are little above the rest.
EMPHASIS = 8
# Share of pairs below which rarer makes little difference, and the strength of all pairs where there is nothing to hear.
RARE, LEAST_STRENGTH = 1e-3, 1e-2


def strengths(features: Tensor, audio: AudioConfig) -> Tensor:
    """The front-end's features (B, T, 6, C, F) -> how strongly each semitone sounds (B, T - 1, semitones), lowest first.

    A bin in which a partial sounds, by its frequency (`octaves_of_bins`), counts for the two nearest semitones, the nearer
    the more, with the eighth power of its weight."""
    octaves, weight = octaves_of_bins(features, audio, LOWEST_HZ, HIGHEST_HZ)
    lowest = math.floor(SEMITONES * math.log2(LOWEST_HZ / MIDDLE_HZ))
    highest = math.ceil(SEMITONES * math.log2(HIGHEST_HZ / MIDDLE_HZ))
    semitones = torch.arange(lowest, highest + 1, device=features.device, dtype=features.dtype)
    near = F.relu(1 - (SEMITONES * octaves[..., None] - semitones).abs())
    return torch.einsum("btk,btks->bts", weight**EMPHASIS, near)


def interval_profile(features: Tensor, audio: AudioConfig, lags: Sequence[int]) -> Tensor:
    """How often two pitches are how far apart: the front-end's features (B, T, 6, C, F) -> (B, lags, 49), 0 to 1.

    With the strengths a_p(t) of semitones, and the sum c_i over frames t and semitones p of a_p(t) a_{p + i}(t + lag), the
    roots of the shares

        h_i = sqrt(c_i / (sum of all pairs + 0.01) + 0.001),    i = -24 ... 24.

    The root makes the noise of all shares about equal, so that a squared distance counts rare intervals as much as common
    ones. Lag 0 has the intervals of chords, greater ones those of melodies and of one chord after the other.
    """
    strength = strengths(features, audio)
    made = []
    for lag in lags:
        before, after = strength[:, : strength.shape[1] - lag], strength[:, lag:]
        pairs = torch.einsum("btp,btq->bpq", before, after)
        total = pairs.sum((1, 2)) + LEAST_STRENGTH
        apart = by_interval(pairs)
        made.append((apart / total[:, None] + RARE).sqrt())
    return torch.stack(made, 1)


def by_interval(pairs: Tensor) -> Tensor:
    """Pairs of semitones (B, P, P) -> the sums (B, 49) over those whose second is -24 ... 24 semitones above the first.

    Rows from the last to the first, each followed by P zeros, and cut into rows of 2 P - 1: each is one further to the right
    than the one above, so that columns are intervals."""
    count = pairs.shape[1]
    skewed = F.pad(pairs.flip(1), (0, count)).flatten(1)[:, :-count].view(-1, count, 2 * count - 1)
    return skewed.sum(1)[:, count - 1 - WIDEST : count + WIDEST]
