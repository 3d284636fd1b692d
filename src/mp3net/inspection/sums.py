"""What is added up over all frames of a recording, in memory that hardly depends on their number."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mp3net.config import AudioConfig
from mp3net.dsp.psychoacoustics import Psychoacoustics, tonality

# A picture of the whole has so many columns, or up to twice as many.
COLUMNS = 600


class Sums:
    """Add pieces (C, T, F) of coefficients in order; then read what was found. All is a mean over the channels."""

    def __init__(self, audio: AudioConfig) -> None:
        self._model = Psychoacoustics(audio.sample_rate_hz, audio.num_bins)
        self._power, self._threshold_power, self._masked = (np.zeros(audio.num_bins) for _ in range(3))
        # One block that doubles: small ones, kept between large ones that are freed, would hold the memory of those.
        self._tonality = np.empty(1 << 16, np.float32)
        self._columns = Columns(audio.num_bins)
        self.frames = 0

    def add(self, piece: Tensor) -> None:
        threshold = self._model.masking_threshold(piece)
        self._power += _total(piece.square())
        self._threshold_power += _total(threshold.square())
        self._masked += _total(piece.abs() < threshold)
        while len(self._tonality) < self.frames + piece.shape[1]:
            self._tonality = np.concatenate([self._tonality, np.empty_like(self._tonality)])
        self._tonality[self.frames : self.frames + piece.shape[1]] = tonality(piece).mean((0, -1)).numpy()
        self._columns.add(piece.abs().mean(0).numpy())
        self.frames += piece.shape[1]

    @property
    def power(self) -> np.ndarray:
        """Mean square of each bin (F,)."""
        return self._power / self.frames

    @property
    def threshold_power(self) -> np.ndarray:
        """Mean square of the masking threshold in each bin (F,)."""
        return self._threshold_power / self.frames

    @property
    def masked_share(self) -> np.ndarray:
        """Share of the coefficients of each bin that are below the masking threshold (F,)."""
        return self._masked / self.frames

    @property
    def tonality(self) -> np.ndarray:
        """Tonality of each frame (T,)."""
        return self._tonality[: self.frames]

    @property
    def columns(self) -> np.ndarray:
        """Mean magnitude (at most 2 COLUMNS, F) of equally many frames each, but for the last."""
        return self._columns.means()

    @property
    def column_frames(self) -> int:
        return self._columns.frames_each


class Columns:
    """Means of rows that arrive in order; whenever there are too many, neighbours become one."""

    def __init__(self, num_bins: int) -> None:
        self.frames_each = 1
        self._sums = np.zeros((0, num_bins))
        self._count = 0

    def add(self, rows: np.ndarray) -> None:
        """(n, F)"""
        for part in np.split(rows, range(COLUMNS, len(rows), COLUMNS)):
            self._add(part.astype(np.float64))

    def _add(self, rows: np.ndarray) -> None:
        places = (self._count + np.arange(len(rows))) // self.frames_each
        grown = np.zeros((places[-1] + 1, rows.shape[1]))
        grown[: len(self._sums)] = self._sums
        np.add.at(grown, places, rows)
        self._sums, self._count = grown, self._count + len(rows)
        while len(self._sums) > 2 * COLUMNS:
            self._sums = np.add.reduceat(self._sums, range(0, len(self._sums), 2))
            self.frames_each *= 2

    def means(self) -> np.ndarray:
        in_each = np.full(len(self._sums), self.frames_each)
        in_each[-1] = self._count - self.frames_each * (len(self._sums) - 1)
        means: np.ndarray = self._sums / in_each[:, None]
        return means


def _total(values: Tensor) -> np.ndarray:
    """(C, T, F) -> sums over frames of the mean over channels (F,)."""
    total: np.ndarray = values.to(torch.float64).mean(0).sum(0).numpy()
    return total
