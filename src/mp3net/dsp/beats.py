"""Clocks of beats, by numpy alone: what a generator goes by when it plays in time.

A bar has four beats. With b bars since the beginning, clock k goes round 2^k times in a bar; a level of the generator whose
frames last h frames of the song hears cos and sin of 2 pi 2^k b at the middle of each frame, times

    max(0, 1 - 4 (2^k h / bar)^2),

so that clocks too fast for its frames are silent there. One more channel, the same in all frames, is the tempo: log(beat /
median beat). The beat is that of the recordings: quantiles measured in the data stand for its distribution, and a normal
number z for the quantile Phi(z). A second one says with which part of a bar a song begins.
`model/mp3net2/meter.py` has the same for batches, in PyTorch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

BEATS_PER_BAR = 4
# So many quantiles of the beat, the lowest and the highest included.
QUANTILES = 33
# The beat of networks that were not given one: that of 120 beats a minute in frames of 23 ms.
USUAL_BEAT_FRAMES = 21.5
# A song begins at least this part of a bar after a bar line and before the next: at 0 and 1 the inverse of Phi is infinite.
EDGE = 1e-6


@dataclass(frozen=True)
class Beat:
    """The beat of one song: the frames of a bar, the part of a bar that has gone by at the beginning, and the tempo."""

    bar_frames: float
    begin: float
    tempo: float

    @classmethod
    def of(cls, latent: np.ndarray, beat_frames: np.ndarray) -> Beat:
        """From its two normal numbers (2,) and the quantiles (Q,) of the beat in frames."""
        place = NormalDist().cdf(float(latent[0])) * (len(beat_frames) - 1)
        logs = np.log(beat_frames.astype(float))
        beat = float(np.interp(place, np.arange(len(logs)), logs))
        return cls(BEATS_PER_BAR * math.exp(beat), NormalDist().cdf(float(latent[1])), beat - float(logs[len(logs) // 2]))

    def bars(self, times: np.ndarray) -> np.ndarray:
        """Bars gone by at these times, in frames."""
        return np.asarray(times / self.bar_frames + self.begin)

    def clocks(self, count: int, span: tuple[int, int], hops: int) -> np.ndarray:
        """(T, 2 count + 1), float32: what a level with frames of so many hops hears from frame span[0] to before span[1]."""
        faster = 2.0 ** np.arange(count)
        bars = self.bars((np.arange(*span) + 0.5) * hops)[:, None]
        angle = 2 * math.pi * (bars * faster % 1)
        heard = np.maximum(1 - 4 * (faster * hops / self.bar_frames) ** 2, 0)
        tempo = np.full((len(bars), 1), self.tempo)
        return np.concatenate(
            [heard * np.cos(angle), heard * np.sin(angle), tempo], 1, dtype=np.float32, casting="same_kind"
        )


def in_time(latent: np.ndarray, beat_frames: np.ndarray, frame: int, bars: float) -> np.ndarray:
    """The normal numbers (2,) of a song of the same tempo in which so many bars have gone by at a frame."""
    begin = (bars - frame / Beat.of(latent, beat_frames).bar_frames) % 1
    return np.array([latent[0], NormalDist().inv_cdf(min(max(begin, EDGE), 1 - EDGE))], latent.dtype)
