"""Keys of many songs at once, and how the pitches in what the discriminator hears fit them (`dsp/keys.py` explains)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mp3net.config import AudioConfig
from mp3net.model.mp3net2.front_end import TURN

# Where pitches are read: above, few partials are left; below, a bin is wider than a step.
LOWEST_HZ, HIGHEST_HZ = 200.0, 3000.0
# Pitches are compared with the C in the middle of the piano.
MIDDLE_HZ = 261.6256
# What a bin weighs in silence: keeps slopes finite.
SILENCE = 1e-6
# The weight of all bins where there is nothing to hear.
LEAST_WEIGHT = 1e-2


def key_channels(latents: Tensor, shares_upto: Tensor) -> Tensor:
    """Normal numbers (B,), and the shares of keys up to each (K,) -> (B, K): 1 for the song's key, 0 for the others."""
    place = torch.special.ndtr(latents)[:, None]
    passed = torch.cat([place >= place.new_zeros(1), place >= shares_upto[:-1]], 1).to(latents.dtype)
    return passed - torch.cat([passed[:, 1:], passed.new_zeros(len(passed), 1)], 1)


def octaves_of_bins(
    features: Tensor, audio: AudioConfig, lowest_hz: float = LOWEST_HZ, highest_hz: float = HIGHEST_HZ
) -> tuple[Tensor, Tensor]:
    """The front-end's features (B, T, 6, C, F) -> of all bins within these frequencies, the octaves above the middle C at
    which they sound, by how their phase turns, and their weights: (B, T - 1, bins) each.

    A partial in bin k turns by pi d per frame where it lies d bins above the bin's middle; so its frequency is known much
    more exactly than by its bin. The weight is the root of the levels of both frames, as the features have it."""
    bin_hz = audio.sample_rate_hz / (2 * audio.num_bins)
    first = max(math.ceil(lowest_hz / bin_hz), 1)
    last = max(min(int(highest_hz / bin_hz), audio.num_bins), first + 1)
    along, across = features[:, 1:, TURN, :, first:last].mean(3).unbind(2)
    weight = (along.square() + across.square() + SILENCE).sqrt()
    offset = (torch.atan2(across, along + SILENCE) / math.pi).clamp(-0.5, 0.5)
    middle = torch.arange(first, last, device=features.device, dtype=features.dtype) + 0.5
    return torch.log2((middle + offset) * (bin_hz / MIDDLE_HZ)), weight


def pitch_profile(features: Tensor, audio: AudioConfig, steps: int) -> Tensor:
    """What pitches there are, whatever the octave: the front-end's features -> (B, K, 2).

    With the octaves p of all bins and frames above the middle C, and their weights w, real and imaginary part of

        sum w exp(2 pi j m p) / sum w,    m = 1 ... K,

    the harmonics of the pitches by their place in the octave. For K = 12 the last is large where pitches are in tune, the
    fifth and the seventh where they belong to one scale: a circle of fifths.
    """
    octaves, weight = octaves_of_bins(features, audio)
    total = weight.sum((1, 2)) + LEAST_WEIGHT
    made = []
    for m in range(1, steps + 1):
        angle = 2 * math.pi * m * octaves
        made.append(
            torch.stack([(weight * angle.cos()).sum((1, 2)), (weight * angle.sin()).sum((1, 2))], 1) / total[:, None]
        )
    return torch.stack(made, 1)


def transposed(profile: Tensor, channels: Tensor) -> Tensor:
    """Profiles (B, K, 2) of songs in the keys of `channels` (B, K) -> as if they were in the first key: harmonic m turned
    back by m n / K for key n."""
    steps = channels.shape[1]
    number = channels @ torch.arange(steps, device=channels.device, dtype=channels.dtype)
    angle = 2 * math.pi / steps * number[:, None] * torch.arange(1, steps + 1, device=number.device, dtype=number.dtype)
    real, imaginary = profile.unbind(-1)
    cosine, sine = angle.cos(), angle.sin()
    return torch.stack([real * cosine + imaginary * sine, imaginary * cosine - real * sine], -1)
