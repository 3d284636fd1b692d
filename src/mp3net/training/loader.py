"""The next crops, read while a step is being computed."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from mp3net.data.dataset import CropDataset


class CropLoader:
    """Crops of given tracks as audio (B, C, S) on the device, one batch read ahead by a thread.

    Crops are addressed by seed and track: reading ahead changes nothing but the time, and a wrong guess costs a read. The
    last `keep` batches are kept: both networks' steps may want the same tracks.
    """

    def __init__(self, dataset: CropDataset, seed: int, device: torch.device, keep: int = 1) -> None:
        self.dataset = dataset
        self.seed = seed
        self.device = device
        self._thread = ThreadPoolExecutor(1, "crops")
        self._ahead: tuple[range, Future[Tensor]] | None = None
        self._keep = keep
        self._kept: dict[range, Tensor] = {}
        self._waited_s = 0.0
        self._since = time.monotonic()

    def batch(self, tracks: range, following: range | None = None) -> Tensor:
        """The crops of `tracks`; reading of those `following` begins."""
        started = time.monotonic()
        if tracks in self._kept:
            crops = self._kept.pop(tracks)
        elif self._ahead is not None and self._ahead[0] == tracks:
            crops, self._ahead = self._ahead[1].result(), None
        else:
            crops = self._read(tracks)
        self._waited_s += time.monotonic() - started
        self._kept[tracks] = crops
        for old in list(self._kept)[: -self._keep]:
            del self._kept[old]
        if (
            following is not None
            and following not in self._kept
            and (self._ahead is None or self._ahead[0] != following)
        ):
            self._ahead = (following, self._thread.submit(self._read, following))
        return crops.to(self.device, non_blocking=True)

    def waited_share(self) -> float:
        """The share of the time since the last call that was spent waiting for crops."""
        now = time.monotonic()
        share = self._waited_s / max(now - self._since, 1e-9)
        self._waited_s, self._since = 0.0, now
        return share

    def _read(self, tracks: range) -> Tensor:
        crops = self.dataset.batch(self.seed, tracks.start, len(tracks))
        # Copies to a GPU run beside its computation only out of pinned memory.
        return crops.pin_memory() if self.device.type == "cuda" else crops
