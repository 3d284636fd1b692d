"""Crops of prepared recordings, addressed by (seed, index): stateless, so any process can resume or share the work."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mp3net.config import AudioConfig, AugmentConfig, DataConfig
from mp3net.data.augment import draw
from mp3net.data.storage import LocalStore, Store, open_store
from mp3net.errors import Mp3netError
from mp3net.machine import usable_cpus
from mp3net.words import mono_or_stereo

# Concurrent requests to a remote store: they wait for the network, not for the processor.
REQUESTS = 16
OPEN_PIECES = 1024


class CropDataset:
    """Crops of `crop_samples` from one split of a prepared dataset, in a folder or at a URL.

    Every sample position of every piece that is long enough is an equally likely start, so there is no grid: a shift of
    16 samples already changes every coefficient. `augment` changes crops further (data/augment.py).
    """

    def __init__(
        self, location: str | Path | Store, crop_samples: int, split: str = "train", augment: AugmentConfig | None = None
    ) -> None:
        store = open_store(location) if isinstance(location, (str, Path)) else location
        self.store = store
        self.data_config, self.fingerprint = store.index.config, store.fingerprint
        self.crop_samples = crop_samples
        self.augment = augment
        chosen = [entry for entry in store.index.entries if entry["split"] == split]
        usable = [entry for entry in chosen if entry["num_samples"] >= crop_samples]
        if not usable:
            rate = self.data_config.sample_rate_hz
            longest = max((entry["num_samples"] for entry in chosen), default=0) / rate
            none = f"its only {split} piece is not" if len(chosen) == 1 else f"none of its {len(chosen):,} {split} pieces is"
            raise Mp3netError(
                f"{location}: {none} as long as one crop of {crop_samples / rate:.2f} "
                f"s (the longest has {longest:.2f} s); choose a preset with shorter tracks or add longer recordings"
            )
        self.num_too_short = len(chosen) - len(usable)
        store.check(usable)
        self.names = [entry["piece"] for entry in usable]
        self.lengths = np.array([entry["num_samples"] for entry in usable])
        self.ends = np.cumsum(self.lengths - crop_samples + 1)
        self.hours = float(self.lengths.sum()) / self.data_config.sample_rate_hz / 3600
        # Systems limit how many files a process may map; opening one takes a millisecond.
        self._open = lru_cache(OPEN_PIECES)(lambda number: store.open(usable[number]))
        waits, computes = not isinstance(store, LocalStore), augment is not None and augment.resample_semitones > 0
        count = REQUESTS if waits else usable_cpus() if computes else None  # threads slow memory-mapped reading down
        self._threads = ThreadPoolExecutor(count, "crops") if count is not None else None

    def locate(self, seed: int, index: int) -> tuple[int, int]:
        """(piece, start sample) of crop `index`: a counter-based random number, independent of order and state."""
        position = int(np.random.Generator(np.random.Philox(key=seed, counter=index)).integers(self.ends[-1]))
        piece = int(np.searchsorted(self.ends, position, side="right"))
        return piece, position - int(self.ends[piece - 1] if piece else 0)

    def crop(self, seed: int, index: int) -> np.ndarray:
        """Crop `index` as float32 (C, S), changed by `augment`."""
        number, start = self.locate(seed, index)
        length = int(self.lengths[number])
        change = draw(self.augment, self.data_config.channels, seed, index)
        need = change.source_samples(self.crop_samples)
        if need > length:  # too short to be played faster
            change = replace(change, speed=1.0)
            need = self.crop_samples
        # Centred on the crop that was drawn, as far as the recording allows.
        start = min(max(0, start - (need - self.crop_samples) // 2), length - need)
        return change.apply(self._open(number).read(start, need), self.crop_samples)

    def batch(self, seed: int, first_index: int, count: int) -> Tensor:
        """Crops first_index .. first_index + count - 1 as audio (B, C, S), float32."""
        indices = range(first_index, first_index + count)
        apply = map if self._threads is None else self._threads.map
        return torch.from_numpy(np.stack(list(apply(lambda index: self.crop(seed, index), indices))))


def check_audio(location: str | Path, found: DataConfig, wanted: AudioConfig) -> None:
    """Refuse a dataset whose sample rate or channels differ from the model's. Errors: Mp3netError."""
    if (found.sample_rate_hz, found.channels) != (wanted.sample_rate_hz, wanted.channels):
        raise Mp3netError(
            f"{location}: was prepared at {found.sample_rate_hz} Hz, {mono_or_stereo(found.channels)}, but the model needs "
            f"{wanted.sample_rate_hz} Hz, {mono_or_stereo(wanted.channels)}; prepare the recordings into another folder "
            f"with --sample-rate {wanted.sample_rate_hz} --channels {wanted.channels}, or with the same --preset as here"
        )
