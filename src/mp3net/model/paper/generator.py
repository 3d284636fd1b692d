"""Latent -> MDCT coefficients (paper section 3.1, figure 3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mp3net.config import PaperModel
from mp3net.model.paper.convolution import Convolution
from mp3net.model.paper.layers import Conv, OctaveUp, chain, initialise, leaky
from mp3net.model.paper.recompute import recomputed


@dataclass(frozen=True)
class Opening:
    """A track that has been begun: its deepest frames (B, c, base_frames, base_bins)."""

    deepest: Tensor
    num_frames: int


class Generator(nn.Module):
    """z (B, latent_dim) ~ N(0, I) -> coefficients (B, C, T, F) in [-1, 1], at least float32.

    dense -> (B, c, base_frames, base_bins) -> one `OctaveUp` per block, deepest first -> 1x1 convolution -> tanh.
    """

    def __init__(self, config: PaperModel, audio_channels: int) -> None:
        super().__init__()
        self.checkpointing = False
        channels = [config.block_channels(index) for index in range(config.num_blocks)]
        self.base_shape = (channels[0][0], config.base_frames, config.base_bins)
        base_size = channels[0][0] * config.base_frames * config.base_bins
        self.dense = nn.Linear(config.latent_dim, base_size)
        self.blocks = nn.ModuleList(OctaveUp(*block) for block in channels)
        self.to_audio = Conv(channels[-1][2], audio_channels, Convolution(1), active=False)

    def initialise(self, source: torch.Generator) -> None:
        """Fresh weights."""
        initialise(self, source)

    def blocks_near_audio(self, count: int) -> list[nn.Module]:
        """The last `count` blocks and the 1x1 convolution after them."""
        return [*self.blocks[-count:], self.to_audio]

    def forward(self, z: Tensor) -> Tensor:
        opening = self.open(z)
        return self.section(opening, 0, opening.num_frames)

    def open(self, z: Tensor) -> Opening:
        """What every section of a track is made from: its few deepest frames."""
        x = leaky(self.dense(z)).reshape(-1, *self.base_shape).contiguous(memory_format=torch.channels_last)
        return Opening(x, self.base_shape[1] * 4 ** len(self.blocks))

    def section(self, opening: Opening, first: int, last: int) -> Tensor:
        """The coefficients (B, C, last - first, F) of the frames from `first` to before `last` of the track."""
        spans, frames = [(first, last)], opening.num_frames
        for _ in self.blocks:
            frames //= 4
            spans.append(OctaveUp.reach(*spans[-1], frames))
        x, begins = opening.deepest, 0
        for block, (enters, until) in zip(self.blocks, reversed(spans[1:]), strict=True):
            x = block(x[:, :, enters - begins : until - begins], recomputed if self.checkpointing else chain)
            begins = 4 * enters
        x = self.to_audio(x[:, :, first - begins : last - begins])
        return torch.tanh(x if x.dtype == torch.float64 else x.float())
