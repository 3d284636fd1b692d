"""Averaged weights: what users hear is a running mean of the generator, steadier than any single step of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

# Early on the mean reaches back over this share of the tracks seen only, so the initial weights are soon forgotten.
RAMP_SHARE = 0.05


class EMA:
    """Exponential moving average of a network's parameters with a half-life in tracks."""

    def __init__(self, network: nn.Module, half_life_tracks: int) -> None:
        self.network = network
        self.half_life_tracks = half_life_tracks
        self.weights: dict[str, Tensor] = {name: value.detach().clone() for name, value in network.named_parameters()}

    @torch.no_grad()
    def update(self, tracks: int, tracks_seen: int) -> None:
        """Account for an update that took `tracks` tracks and ended at `tracks_seen`."""
        half_life = min(self.half_life_tracks, max(RAMP_SHARE * tracks_seen, 1e-9))
        new_share = 1 - 0.5 ** (tracks / half_life)
        parameters = dict(self.network.named_parameters())
        torch._foreach_lerp_(list(self.weights.values()), [parameters[name] for name in self.weights], new_share)

    @contextmanager
    def swap(self) -> Iterator[nn.Module]:
        """Inside, the network carries the averaged weights."""
        parameters = dict(self.network.named_parameters())
        own = {name: parameters[name].data for name in self.weights}
        try:
            for name, value in self.weights.items():
                parameters[name].data = value
            yield self.network
        finally:
            for name, value in own.items():
                parameters[name].data = value
