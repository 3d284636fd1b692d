"""Changes that could have happened to the recordings themselves: drawn for every crop, and addressed like the crop.

By default nothing that a listener would notice changes what the generator learns: polarity is inaudible, and left and right
depend on where one sits; level and speed are off unless requested.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import soxr

from mp3net.config import AugmentConfig

# The resampler's filter needs neighbouring samples on both sides; they are read, then cut off.
MARGIN_SAMPLES = 512
KEY_OFFSET = 1 << 64
"""Seeds have at most 64 bits, so the keys of changes never coincide with those of crop positions."""


@dataclass(frozen=True)
class Change:
    """What happens to one crop. `speed` 1.06 is a semitone higher and faster."""

    sign: float
    swap: bool
    gain: float
    speed: float

    def source_samples(self, count: int) -> int:
        """How many samples of the recording `count` samples of the crop need."""
        return count if self.speed == 1.0 else int(np.ceil(count * self.speed)) + 2 * MARGIN_SAMPLES

    def apply(self, audio: np.ndarray, count: int) -> np.ndarray:
        """(C, source_samples(count)) -> (C, count)."""
        if self.speed != 1.0:
            resampled = soxr.resample(np.ascontiguousarray(audio.T), self.speed, 1.0, quality="HQ").T
            first = (resampled.shape[1] - count) // 2
            audio = resampled[:, first : first + count]
        audio = audio[::-1] if self.swap else audio
        return np.ascontiguousarray(audio * np.float32(self.sign * self.gain))


UNCHANGED = Change(1.0, False, 1.0, 1.0)


def draw(config: AugmentConfig | None, channels: int, seed: int, index: int) -> Change:
    """The change of crop `index`; always draws four random numbers, so that the switches do not affect each other."""
    if config is None:
        return UNCHANGED
    random = np.random.Generator(np.random.Philox(key=seed + KEY_OFFSET, counter=index << 64)).random(4)
    sign = -1.0 if config.random_sign and random[0] < 0.5 else 1.0
    swap = config.swap_channels and channels == 2 and bool(random[1] < 0.5)
    gain = 10 ** (-config.gain_db * random[2] / 20)
    speed = 2 ** (config.resample_semitones * (2 * random[3] - 1) / 12)
    return Change(sign, swap, float(gain), float(speed))
