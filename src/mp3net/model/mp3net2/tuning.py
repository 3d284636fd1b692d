"""At which frequencies within each bin songs sound, so that they are in tune with recordings down to the bass.

A bin of 21.5 Hz holds three semitones of a bass and several partials of a generator. Which of these sounds moves the
discriminator's features by a fraction of a radian, and below 200 Hz keys do not hear pitches either (`harmony.py`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from mp3net.config import AudioConfig
from mp3net.model.mp3net2.front_end import TURN

# Up to the highest fundamental of most notes. Above, there is more chance than tuning in what frequencies there are.
HIGHEST_HZ = 800.0
# Where there is next to nothing to hear, there is no frequency. Keeps slopes finite.
SILENCE = 1e-4


def tuned_bins(audio: AudioConfig) -> int:
    """How many bins, from the lowest, are compared."""
    return max(min(round(HIGHEST_HZ * 2 * audio.num_bins / audio.sample_rate_hz), audio.num_bins), 1)


def tuning_profile(features: Tensor, audio: AudioConfig, harmonics: int) -> Tensor:
    """The place in their bin at which partials sound: the front-end's features (B, T, 6, C, F) -> (B, H, 2, tuned bins).

    With the turn a of each bin's phase since the previous frame, pi times the distance in bins from the bin's middle, and
    its weight w, the root of the levels of both frames, real and imaginary part of the means over frames and channels of

        w exp(j n a),    n = 1 ... H,

    the harmonics of the distribution of a.
    """
    along, across = features[:, :, TURN, :, : tuned_bins(audio)].unbind(2)  # (B, T, C, bins) each
    weight = (along.square() + across.square() + SILENCE**2).sqrt()
    along, across = along / weight, across / weight
    cosine, sine = weight, torch.zeros_like(weight)
    made = []
    for _ in range(harmonics):
        cosine, sine = cosine * along - sine * across, cosine * across + sine * along
        made.append(torch.stack([cosine.mean((1, 2)), sine.mean((1, 2))], 1))
    return torch.stack(made, 1)
