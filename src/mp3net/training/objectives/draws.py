"""Random numbers addressed by (seed, track, purpose): there is nothing to save, and they are the same after resuming."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

# Purposes of random numbers: each has its own stream for every track.
INIT_STREAM, DISCRIMINATOR_STREAM, GENERATOR_STREAM = range(3)


def addressed_generator(seed: int, track: int, stream: int, device: torch.device) -> torch.Generator:
    """The random numbers of one track for one purpose."""
    words = np.random.SeedSequence([seed, track, stream]).generate_state(2, np.uint32)
    return torch.Generator(device).manual_seed(int(words[0]) << 31 | int(words[1]) >> 1)


class TrackDraws:
    """The random numbers of some tracks. Every track has its own, so they do not depend on how a batch is divided among
    processes or micro-batches. `tracks_seen` is the progress before the batch that the tracks belong to."""

    def __init__(self, seed: int, tracks: range, stream: int, device: torch.device, tracks_seen: int = 0) -> None:
        self.device = device
        self.tracks_seen = tracks_seen
        self.sources = [addressed_generator(seed, track, stream, device) for track in tracks]

    def normal(self, *shape: int) -> Tensor:
        """(tracks, *shape) ~ N(0, 1)."""
        draws = [torch.randn(shape, generator=source, device=self.device) for source in self.sources]
        return torch.stack(draws)

    def uniform(self, *shape: int) -> Tensor:
        """(tracks, *shape) in [0, 1)."""
        return torch.stack([torch.rand(shape, generator=source, device=self.device) for source in self.sources])

    def signs(self, *shape: int) -> Tensor:
        """(tracks, *shape) of +1 and -1, equally often."""
        return 1 - 2 * (self.uniform(*shape) < 0.5).float()
