"""Crops of prepared recordings, addressed by (seed, index): stateless, so any process can resume or share the work."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from mp3net.config import Config
from mp3net.data.prepare import INDEX_FILE, read_index
from mp3net.errors import Mp3netError

# Recordings are scaled to this peak before the transform, as in the authors' preparation.
PEAK = 0.999


class Piece:
    """One recording, memory-mapped."""

    def __init__(self, path: Path, peak: float) -> None:
        try:
            table = pa.ipc.open_stream(pa.memory_map(str(path))).read_all()
        except (OSError, pa.ArrowInvalid) as error:
            raise Mp3netError(
                f"{path}: cannot be read as an Arrow stream: {error}; prepare the dataset again"
            ) from None
        chunks = table.column("audio").chunks
        self.channels = table.column("channels")[0].as_py()
        self.rows = [chunk.flatten().to_numpy(zero_copy_only=True).reshape(-1, self.channels) for chunk in chunks]
        self.gains = np.asarray(table.column("scale"), np.float32) * np.float32(PEAK / peak)
        self.starts = np.asarray(table.column("start_sample"))
        self.num_samples = int(self.starts[-1]) + len(self.rows[-1])

    def read(self, start: int, count: int) -> np.ndarray:
        """Samples [start, start + count) as float32 (C, count), the recording's peak being 0.999."""
        out = np.empty((count, self.channels), np.float32)
        row = int(np.searchsorted(self.starts, start, side="right")) - 1
        filled = 0
        while filled < count:
            offset = start + filled - int(self.starts[row])
            part = self.rows[row][offset : offset + count - filled]
            np.multiply(part, self.gains[row], out=out[filled : filled + len(part)])
            filled += len(part)
            row += 1
        return np.ascontiguousarray(out.T)


class CropDataset:
    """Crops of `crop_samples` from one split of a prepared dataset.

    Every sample position of every piece that is long enough is an equally likely start, so there is no grid: a shift of
    16 samples already changes every coefficient.
    """

    def __init__(self, folder: Path, crop_samples: int, split: str = "train") -> None:
        self.data_config, entries = read_index(folder)
        self.fingerprint = hashlib.sha256((folder / INDEX_FILE).read_bytes()).hexdigest()
        self.crop_samples = crop_samples
        chosen = [entry for entry in entries if entry["split"] == split]
        usable = [entry for entry in chosen if entry["num_samples"] >= crop_samples]
        if not usable:
            rate = self.data_config.sample_rate_hz
            longest = max((entry["num_samples"] for entry in chosen), default=0) / rate
            raise Mp3netError(
                f"{folder}: none of its {len(chosen)} {split} pieces is as long as one crop of {crop_samples / rate:.2f} s "
                f"(the longest has {longest:.2f} s); choose a preset with shorter tracks or add longer recordings"
            )
        self.num_too_short = len(chosen) - len(usable)
        self.names = [entry["piece"] for entry in usable]
        self.pieces = [Piece(folder / split / f"{entry['piece']}.arrow", entry["peak"]) for entry in usable]
        self.ends = np.cumsum([piece.num_samples - crop_samples + 1 for piece in self.pieces])
        self.hours = sum(piece.num_samples for piece in self.pieces) / self.data_config.sample_rate_hz / 3600

    def locate(self, seed: int, index: int) -> tuple[int, int]:
        """(piece, start sample) of crop `index`: a counter-based random number, so no order and no state is involved."""
        position = int(np.random.Generator(np.random.Philox(key=seed, counter=index)).integers(self.ends[-1]))
        piece = int(np.searchsorted(self.ends, position, side="right"))
        return piece, position - int(self.ends[piece - 1] if piece else 0)

    def batch(self, seed: int, first_index: int, count: int) -> Tensor:
        """Crops first_index .. first_index + count - 1 as audio (B, C, S), float32."""
        crops = []
        for index in range(first_index, first_index + count):
            piece, start = self.locate(seed, index)
            crops.append(self.pieces[piece].read(start, self.crop_samples))
        return torch.from_numpy(np.stack(crops))


def check_audio(folder: Path, config: Config) -> None:
    """Refuse a dataset whose sample rate or channels are not the model's."""
    found, wanted = read_index(folder)[0], config.audio
    if (found.sample_rate_hz, found.channels) != (wanted.sample_rate_hz, wanted.channels):
        raise Mp3netError(
            f"{folder}: was prepared at {found.sample_rate_hz} Hz with {found.channels} channel(s), but the model needs "
            f"{wanted.sample_rate_hz} Hz with {wanted.channels}; prepare the recordings into another folder with "
            f"--sample-rate {wanted.sample_rate_hz} --channels {wanted.channels}, or with the same --preset as here"
        )
