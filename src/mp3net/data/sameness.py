"""Whether two recordings that a fingerprint takes for one are one: their sound, compared in detail.

An encoder, a change of level or rate and a cut leave the waveform as it was but for noise below the sound. Another mix, a
remaster, reverberation, a filter or another touch of the same key change the level of some bands, or add sound that does
not follow the original. Two numbers per band and two seconds tell these apart: the level in one relative to the other, and
the coherence |<X Y*>|^2 / (<|X|^2> <|Y|^2>), which is 1 if one is a filtered copy of the other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import get_window

from mp3net.data.pieces import Piece

WINDOW_S = 0.093
BLOCK_S = 2.0
LOWEST_HZ, HIGHEST_HZ = 60.0, 4000.0
BANDS_PER_OCTAVE = 2
AUDIBLE_DB = 30.0
"""Bands this far below the loudest of their two seconds say nothing: encoders may change them by several dB."""
LOUD_DB = 40.0
"""Nor do two seconds this far below the loudest."""
SEARCH_S, SEARCHED_S = 0.1, 8.0
COMPARED_S = 600.0
"""Of longer recordings, this much is compared, evenly spread."""

LEAST_COHERENCE, MOST_MOTION_DB = 0.72, 0.5
MOST_TILT_DB, TILT_OF_NOISE_DB = 0.55, 3.0
"""An encoder changes the level of a band by more, the more noise it adds: the limit grows by 3 dB times 1 - coherence."""


@dataclass(frozen=True)
class Comparison:
    """`coherence` of nearly the worst two seconds; `tilt_db`: how far the level of a band differs from that of all;
    `motion_db`: how far the level of nearly the worst two seconds differs from that of all."""

    coherence: float
    tilt_db: float
    motion_db: float

    @property
    def is_same(self) -> bool:
        most_tilt_db = MOST_TILT_DB + TILT_OF_NOISE_DB * (1 - self.coherence)
        return self.coherence >= LEAST_COHERENCE and self.motion_db <= MOST_MOTION_DB and self.tilt_db <= most_tilt_db


def compare_pieces(a: Piece, b: Piece, offset_s: float, sample_rate_hz: int) -> Comparison | None:
    """Compare the sound that two pieces share if second t of `b` is second t + `offset_s` of `a`, or up to 0.1 s beside it.

    None if nothing audible is shared.
    """
    offset = round(offset_s * sample_rate_hz)
    begin, end = max(0, -offset), min(b.num_samples, a.num_samples - offset)
    if end - begin < 2 * round(WINDOW_S * sample_rate_hz):
        return None
    block = min(round(BLOCK_S * sample_rate_hz), end - begin)
    count = max(1, (end - begin) // block)
    chosen = np.unique(np.linspace(0, count - 1, min(count, round(COMPARED_S / BLOCK_S))).astype(int))
    margin = round(SEARCH_S * sample_rate_hz)
    lag = _lag(a, b, offset, begin, end, margin, sample_rate_hz)
    starts = [begin + int(number) * block for number in chosen]
    pairs = ((_mono(a, start + offset + lag, block), _mono(b, start, block)) for start in starts)
    return _judged(np.stack([_sums(left, right, sample_rate_hz) for left, right in pairs]))


def _mono(piece: Piece, start: int, count: int) -> np.ndarray:
    """Samples [start, start + count), silence where there are none."""
    low, high = max(start, 0), min(start + count, piece.num_samples)
    out = np.zeros(count, np.float32)
    if high > low:
        out[low - start : high - start] = piece.read(low, high - low).mean(0)
    return out


def _lag(a: Piece, b: Piece, offset: int, begin: int, end: int, margin: int, rate: int) -> int:
    """By how many samples more than `offset` `a` lies behind `b`: where their whitened correlation is highest."""
    count = min(end - begin, round(SEARCHED_S * rate))
    start = begin + (end - begin - count) // 2
    left, right = _mono(a, start + offset - margin, count + 2 * margin), _mono(b, start, count)
    size = next_fast_len(len(left) + count, real=True)
    cross = rfft(left, size) * np.conj(rfft(right, size))
    magnitude = np.abs(cross)
    high = round(HIGHEST_HZ / rate * size)
    cross[high:] = 0
    correlation = irfft(cross / (magnitude + 1e-3 * magnitude.max() + 1e-30), size)[: 2 * margin + 1]
    return int(np.abs(correlation).argmax()) - margin


def _sums(left: np.ndarray, right: np.ndarray, rate: int) -> np.ndarray:
    """(3, bands): power of `left`, of `right`, and the absolute value of their cross-power."""
    size = 1 << round(math.log2(WINDOW_S * rate))
    window = get_window("hann", size).astype(np.float32)
    spectra = [
        rfft(np.lib.stride_tricks.sliding_window_view(np.pad(x, (0, max(0, size - len(x)))), size)[:: size // 2] * window)
        for x in (left, right)
    ]
    octaves = np.log2(min(HIGHEST_HZ, 0.45 * rate) / LOWEST_HZ)
    edges = LOWEST_HZ * 2 ** np.linspace(0, octaves, round(octaves * BANDS_PER_OCTAVE) + 1)
    bins = np.round(edges / rate * size).astype(int)
    x, y = (spectrum[:, : bins[-1]] for spectrum in spectra)
    products = (np.abs(x) ** 2, np.abs(y) ** 2, x * np.conj(y))
    sums: np.ndarray = np.abs(np.stack([np.add.reduceat(product.sum(0), bins[:-1]) for product in products]))
    return sums


def _judged(sums: np.ndarray) -> Comparison | None:
    """(blocks, 3, bands) -> what they say."""
    x, y, cross = sums[:, 0], sums[:, 1], sums[:, 2]
    both = np.sqrt(x * y)
    least = 10 ** (-AUDIBLE_DB / 10)
    audible = (x > least * x.max(1, keepdims=True)) | (y > least * y.max(1, keepdims=True))
    audible &= (both.max(1) > 10 ** (-LOUD_DB / 10) * both.max())[:, None] & (both.max() > 0)
    if not audible.any():
        return None
    coherence = np.where(audible, cross**2 / np.maximum(x * y, 1e-30), np.nan)
    gain_db = np.where(audible, 10 * np.log10(np.maximum(y, 1e-30) / np.maximum(x, 1e-30)), np.nan)
    usual_db = np.nanmedian(gain_db)
    rows, often = audible.any(1), audible.mean(0) > 0.1
    bands_db = np.abs(np.nanmedian(gain_db[:, often], axis=0) - usual_db)
    blocks_db = np.abs(np.nanmedian(gain_db[rows], axis=1) - usual_db)
    return Comparison(
        float(np.quantile(np.nanmean(coherence[rows], axis=1), 0.05)),
        float(bands_db.max(initial=0)),
        float(np.quantile(blocks_db, 0.95)),
    )
