"""How levels move, so that the notes of songs are as steady and as long as those of recordings.

A struck note rises once and then falls. A generator's notes swell and fade instead, by a dB or two within a fraction of a
second: all partials are read from the same few channels, and what these do for other notes does not quite cancel. A
discriminator whose slope is penalised hardly hears that, for it moves the features little; a listener and a transcriber do.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mp3net.model.mp3net2.front_end import LEVEL, LOUDNESS

# Steps that count half, in the units of the features: of the level (0.3 ln of an intensity ratio) 2.9 dB, of the masking
# threshold (0.4 ln of an amplitude ratio), which follows several bins and is steadier, 2.2 dB.
HALF_STEP = 0.2
HALF_STEP_OF_LOUDNESS = 0.1


def movement_profile(features: Tensor, lags: Sequence[int]) -> Tensor:
    """How often each bin rises above the threshold and falls, and how far: the front-end's features (B, T, 6, C, F) ->
    `steps` of the level (B, lags, 2, F).

    A level is above the masking threshold, which rises and falls with it: what moves alike in all bins is not in it."""
    return steps(features[:, :, LEVEL].mean(2), lags, HALF_STEP)


def loudness_profile(features: Tensor, lags: Sequence[int], gain: float) -> Tensor:
    """How often the loudness near each bin rises and falls, and how far: the front-end's features (B, T, 6, C, F) -> `steps`
    of the masking threshold (B, lags, 2, F), which follows the sound's excitation of the ear. `gain` is that of loudness in
    the features."""
    return steps(features[:, :, LOUDNESS].mean(2), lags, HALF_STEP_OF_LOUDNESS * gain)


def steps(course: Tensor, lags: Sequence[int], half_step: float) -> Tensor:
    """How often a course (B, T, F) rises and falls, and how far -> (B, lags, 2, F), 0 to 1.

    With d the difference from `lag` frames before, and s = `half_step`, the means over frames of

        d^2 / (d^2 + s^2)

    where d > 0, and where d < 0: large steps count once, however large they are, and small ones count by their squares.
    """
    made = []
    for lag in lags:
        step = course[:, lag:] - course[:, :-lag]
        for part in (F.relu(step), F.relu(-step)):
            square = part.square()
            made.append((square / (square + half_step**2)).mean(1))
    profile = torch.stack(made, 1)
    return profile.view(len(course), len(lags), 2, -1)
