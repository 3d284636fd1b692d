"""How the mean profile of songs differs from that of recordings, as an estimate that is trained beside the discriminator."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

# The estimate follows in some fifty steps of 2e-4 instead of in five hundred.
GAP_SCALE = 10.0


class ProfileGap(nn.Module):
    """Profiles are numbers of one shape, linear in what there is to hear, of a track by a beat, in a key or by nothing.

    `recordings` is the mean profile p of recordings, by the beat or in the key that fits each best; the profile h of a song
    is by those that it was made with. The estimate g minimises E |g - (h - p)|^2, so it is E h - p, and songs that descend
    along <g, h> lower |E h - p|^2 / 2: like every other part of the loss a mean over tracks, however a batch is divided.
    """

    recordings: Tensor

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.scaled = nn.Parameter(torch.zeros(shape))
        self.register_buffer("recordings", torch.zeros(shape))

    @property
    def gap(self) -> Tensor:
        """The estimate g."""
        return GAP_SCALE * self.scaled

    def error(self, profile: Tensor) -> Tensor:
        """Profiles of songs (B, ...) -> the mean squared error of the estimate."""
        return (self.gap - (profile - self.recordings)).square().flatten(1).sum(1).mean()

    def pull(self, profile: Tensor, longest: float = math.inf) -> Tensor:
        """Profiles of songs -> the mean <g, h>, which the generator lowers; g is shortened to the length `longest`."""
        gap = self.gap.detach()
        gap = gap * (longest / gap.norm().clamp(min=1e-12)).clamp(max=1.0)
        pull: Tensor = (gap * profile).flatten(1).sum(1).mean()
        return pull

    @torch.no_grad()
    def followed(self, profile: Tensor) -> Tensor:
        """How much of the recordings' profile there is in that of songs: 1 for all of it, 0 for nothing; <h, p> / <p, p>."""
        size = self.recordings.square().sum().clamp(min=1e-12)
        return (profile.mean(0) * self.recordings).sum() / size
