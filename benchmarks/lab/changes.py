"""Changes to the code that recipes try and no setting makes. Each is in force inside of its context."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from mp3net.model.mp3net2 import generator


def unexpanded() -> AbstractContextManager[Any]:
    """Amplitudes of partials as the last layer gives them."""
    return patch.object(generator, "expanded", lambda amplitudes: amplitudes)


def coarse() -> AbstractContextManager[Any]:
    """Half as many partials per bin in all but the lowest quarter of the bins: every other one stays silent."""
    expanded = generator.expanded

    def thinned(amplitudes: Tensor) -> Tensor:
        keep = torch.ones(amplitudes.shape[-2:], dtype=amplitudes.dtype)
        fine = len(keep) // 4
        keep[fine:, ::2], keep[fine:, 1::2] = 0, math.sqrt(2)
        return expanded(amplitudes) * keep

    return patch.object(generator, "expanded", thinned)
