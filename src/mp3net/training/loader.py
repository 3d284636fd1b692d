"""Batches of real tracks: crops are read while a step is being computed, and transformed on its device."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from mp3net.config import Config
from mp3net.data.dataset import CropDataset
from mp3net.dsp.mdct import mdct
from mp3net.training.parallel import Ranks


@dataclass(frozen=True)
class Portion:
    """Tracks that are computed together, and their coefficients (B, C, T, F)."""

    tracks: range
    real: Tensor


class BatchLoader:
    """This process's share of every batch, in portions of `run.micro_batch_size` tracks.

    Crops are addressed by seed and track, so reading ahead affects only the speed. Those of a whole batch are kept, because
    the steps of both networks may need the same tracks.
    """

    def __init__(self, dataset: CropDataset, config: Config, device: torch.device, ranks: Ranks) -> None:
        self.dataset = dataset
        self.config = config
        self.device = device
        self._share = ranks.share(config.optimiser.batch_size)
        self._thread = ThreadPoolExecutor(1, "crops")
        self._ahead: tuple[range, Future[Tensor]] | None = None
        self._kept: dict[range, Tensor] = {}
        self._waited_s = 0.0
        self._since = time.monotonic()

    def portions(self, first: int) -> list[range]:
        """The tracks of this process's share of the batch that begins with track `first`."""
        size = self.config.run.micro_batch_size or len(self._share)
        return [
            range(first + start, first + min(start + size, self._share.stop))
            for start in range(self._share.start, self._share.stop, size)
        ]

    def batch(self, first: int) -> Iterator[Portion]:
        """The portions of the batch that begins with track `first`; the following portion is read ahead."""
        portions = self.portions(first)
        following = [*portions[1:], self.portions(first + self.config.optimiser.batch_size)[0]]
        for tracks, coming in zip(portions, following, strict=True):
            yield self._portion(tracks, self.crops(tracks, coming))

    def any_tracks(self, tracks: range) -> Portion:
        """Tracks out of order, without reading ahead."""
        return self._portion(tracks, self._read(tracks))

    def crops(self, tracks: range, following: range) -> Tensor:
        """The crops of `tracks` (B, C, S), in host memory; starts reading those of `following`."""
        started = time.monotonic()
        if tracks in self._kept:
            crops = self._kept.pop(tracks)
        elif self._ahead is not None and self._ahead[0] == tracks:
            crops, self._ahead = self._ahead[1].result(), None
        else:
            crops = self._read(tracks)
        self._waited_s += time.monotonic() - started
        self._kept[tracks] = crops
        for old in list(self._kept)[: -len(self.portions(0))]:
            del self._kept[old]
        if following not in self._kept and (self._ahead is None or self._ahead[0] != following):
            self._ahead = (following, self._thread.submit(self._read, following))
        return crops

    def waited_share(self) -> float:
        """The share of the time since the last call that was spent waiting for crops."""
        now = time.monotonic()
        share = self._waited_s / max(now - self._since, 1e-9)
        self._waited_s, self._since = 0.0, now
        return share

    def _portion(self, tracks: range, crops: Tensor) -> Portion:
        audio = self.config.audio
        on_device = crops.to(self.device, non_blocking=True)
        return Portion(tracks, mdct(on_device, audio.num_bins, audio.window, edges="crop"))

    def _read(self, tracks: range) -> Tensor:
        crops = self.dataset.batch(self.config.optimiser.seed, tracks.start, len(tracks))
        # Only copies from pinned memory overlap with the GPU's computation.
        return crops.pin_memory() if self.device.type == "cuda" else crops
