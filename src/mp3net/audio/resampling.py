"""Changing the sample rate of audio that streams."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import soxr

HELD_SAMPLES = 4096
"""At least this many samples of silence or offset are put before and after what is resampled."""


def resampled(blocks: Iterator[np.ndarray], from_hz: int, to_hz: int) -> Iterator[np.ndarray]:
    """Resample as if the first and the last sample continued indefinitely: with zeros there, the filter would turn a
    constant offset into clicks, which nobody can remove afterwards."""
    common = math.gcd(from_hz, to_hz)
    periods = -(-HELD_SAMPLES * common // min(from_hz, to_hz))  # whole ones, so that samples stay on their grid
    held, made = periods * from_hz // common, -periods * to_hz // common
    resampler, last, seen = None, np.zeros((0, 1), np.float32), 0
    for block in blocks:
        if resampler is None:
            resampler = soxr.ResampleStream(from_hz, to_hz, block.shape[1], dtype="float32", quality="HQ")
            made += len(resampler.resample_chunk(np.repeat(block[:1], held, axis=0)))
        last, seen = block[-1:], seen + len(block)
        out = resampler.resample_chunk(block)
        if made + len(out) > 0:
            yield out[max(-made, 0) :]
        made += len(out)
    if resampler is not None:
        out = resampler.resample_chunk(np.repeat(last, held, axis=0), last=True)
        yield out[max(-made, 0) : int(seen * to_hz / from_hz + 0.5) - made]
