"""Averaged weights: users hear a moving average of the generator, which is steadier than any single step."""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

# The half-life is at most this share of the tracks seen, so the initial weights are soon forgotten.
RAMP_SHARE = 0.05
N = TypeVar("N", bound=nn.Module)


class EMA(Generic[N]):
    """A copy of a network whose parameters are an exponential moving average of the original's, with a half-life in tracks.

    `network` is the copy; it shares the buffers of the original, but for those called `own`.
    """

    def __init__(self, network: N, half_life_tracks: int, own: Collection[str] = ()) -> None:
        self.original = network
        self.half_life_tracks = half_life_tracks
        shared = {id(value): value for name, value in network.named_buffers() if name not in own}
        self.network = copy.deepcopy(network, shared).requires_grad_(False)
        self.weights: dict[str, Tensor] = {name: value.detach() for name, value in self.network.named_parameters()}

    @torch.no_grad()
    def update(self, tracks: int, tracks_seen: int) -> None:
        """Account for an update that took `tracks` tracks and ended at `tracks_seen`."""
        half_life = min(self.half_life_tracks, max(RAMP_SHARE * tracks_seen, 1e-9))
        new_share = 1 - 0.5 ** (tracks / half_life)
        parameters = dict(self.original.named_parameters())
        torch._foreach_lerp_(list(self.weights.values()), [parameters[name] for name in self.weights], new_share)
