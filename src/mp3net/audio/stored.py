"""Audio that is too long for memory: float32 samples in a file without a name."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType

import numpy as np


class StoredAudio:
    """(C, S) samples that were appended piece by piece, read back in blocks and multiplied by `gain`.

    They lie in a file of `folder` that vanishes with this object. Errors: OSError, where the disk is full, for instance.
    """

    def __init__(self, folder: Path, channels: int) -> None:
        self._file = TemporaryFile(dir=folder)  # noqa: SIM115
        self._channels, self._samples = channels, 0
        self.peak, self.gain = 0.0, 1.0

    def __enter__(self) -> StoredAudio:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def append(self, piece: np.ndarray) -> None:
        """Add (C, n) samples."""
        self._file.write(np.ascontiguousarray(piece.T, np.float32).data)
        self._samples += piece.shape[1]
        self.peak = max(self.peak, float(np.abs(piece).max(initial=0)))

    @property
    def shape(self) -> tuple[int, int]:
        return self._channels, self._samples

    def __len__(self) -> int:
        return self._channels

    def __getitem__(self, place: tuple[slice, slice]) -> np.ndarray:
        """`stored[:, first:last]`."""
        first, last, _ = place[1].indices(self._samples)
        self._file.seek(4 * self._channels * first)
        found = np.frombuffer(self._file.read(4 * self._channels * (last - first)), np.float32)
        return found.reshape(-1, self._channels).T * np.float32(self.gain)
