"""MDCT coefficients -> score (paper section 3.1, figure 4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mp3net.config import PaperModel
from mp3net.model.batch import WholeBatch
from mp3net.model.paper.convolution import Convolution
from mp3net.model.paper.layers import Conv, OctaveDown, append_minibatch_stddev, chain, initialise, leaky
from mp3net.model.paper.recompute import recomputed


class Discriminator(nn.Module):
    """Coefficients (B, C, T, F) -> scores (B,), larger for more real; at least float32.

    1x1 convolution -> one `OctaveDown` per block, shallowest first -> dense -> dense. The samples of a batch are coupled
    by the minibatch deviation, before the last block (figure 4) or after it (released code).
    """

    def __init__(self, config: PaperModel, audio_channels: int, whole_batch: WholeBatch | None = None) -> None:
        super().__init__()
        channels = [config.block_channels(index)[::-1] for index in reversed(range(config.num_blocks))]
        self.group_size = config.stddev_group_size
        self.whole_batch = whole_batch or WholeBatch()
        self.checkpointing = False
        before_last = config.stddev_position == "before_last_block"
        base_channels = channels[-1][2]
        flat_channels = base_channels + (0 if before_last else 1)
        self.stddev_block = config.num_blocks - 1 if before_last else config.num_blocks
        self.from_audio = Conv(audio_channels, channels[0][0], Convolution(1))
        self.blocks = nn.ModuleList(
            OctaveDown(*block, extra_channels=int(index == self.stddev_block)) for index, block in enumerate(channels)
        )
        self.dense = nn.Linear(flat_channels * config.base_frames * config.base_bins, base_channels)
        self.to_score = nn.Linear(base_channels, 1)

    def initialise(self, source: torch.Generator) -> None:
        """Fresh weights."""
        initialise(self, source)

    def blocks_near_audio(self, count: int) -> list[nn.Module]:
        """The 1x1 convolution and the first `count` blocks."""
        return [self.from_audio, *self.blocks[:count]]

    def forward(self, coefficients: Tensor, batches: int = 1) -> Tensor:
        """With `batches`, that many consecutive batches of equal size; samples are coupled only within each of them."""

        def with_stddev(x: Tensor) -> Tensor:
            return append_minibatch_stddev(x, self.group_size, self.whole_batch, batches)

        x = self.from_audio(coefficients.contiguous(memory_format=torch.channels_last))
        for index, block in enumerate(self.blocks):
            x = with_stddev(x) if index == self.stddev_block else x
            x = block(x, recomputed if self.checkpointing else chain)
        if self.stddev_block == len(self.blocks):
            x = with_stddev(x)
        # Scores differ only slightly, so the last layers stay in float32 under autocast.
        with torch.autocast(x.device.type, enabled=False):
            x = x.flatten(1).to(self.dense.weight.dtype)
            score: Tensor = self.to_score(leaky(self.dense(x))).squeeze(1)
        return score
