"""How levels move, so that the notes of songs are as steady as those of recordings.

A struck note rises once and then falls. A generator's notes swell and fade instead, by a dB or two within a fraction of a
second: all partials are read from the same few channels, and what these do for other notes does not quite cancel. A
discriminator whose slope is penalised hardly hears that, for it moves the features little; a listener and a transcriber do.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

# Steps of the level (0.3 ln of an intensity ratio) that count half: 2.9 dB.
HALF_STEP = 0.2


def movement_profile(level: Tensor, lags: Sequence[int]) -> Tensor:
    """How often each bin rises and falls, and how far: levels (B, T, F) -> (B, lags, 2, F), 0 to 1.

    With d the difference of a bin's level from the one `lag` frames before, and s = HALF_STEP, the means over frames of

        d^2 / (d^2 + s^2)

    where d > 0, and where d < 0: large steps count once, however large they are, and small ones count by their squares.
    """
    made = []
    for lag in lags:
        step = level[:, lag:] - level[:, :-lag]
        for part in (F.relu(step), F.relu(-step)):
            square = part.square()
            made.append((square / (square + HALF_STEP**2)).mean(1))
    profile = torch.stack(made, 1)
    return profile.view(len(level), len(lags), 2, -1)
