"""Finding the same audio under another name or in another format by its sound.

After J. Haitsma and T. Kalker, "A Highly Robust Audio Fingerprinting System" (2002): every 23 ms, 32 bits say whether the
difference in level between neighbouring bands rose or fell. Lossy coding, resampling, gain and polarity leave most of them
unchanged; other recordings, even of the same piece, differ in about half.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import soxr
from scipy.fft import rfft

BANDS = 33
LOWEST_HZ, HIGHEST_HZ = 300.0, 2000.0
RATE_HZ = 5000
HOP_SAMPLES = 116
WINDOW_SAMPLES = 16 * HOP_SAMPLES
AUDIBLE_POWER = 1e-9
"""Below this power over all bands (about -90 dBFS) there are only rounding errors to compare."""

BLOCK_FRAMES = 86
COPY_BIT_ERRORS, COPY_QUANTILE = 0.28, 0.97
"""Two seconds of a copy differ in at most this share of bits (0.25 for MP3 at 32 kbit/s), nearly everywhere. Another
arrangement of the same music, played by the same machine, has about the same mean, but differs in far more bits where its
notes differ."""
SHORT_FRAMES, SHORT_STRICTNESS = 172, 2.5
"""A few seconds may look alike by chance: below four, a copy may differ in only 0.11 of its bits (MP3 at 64 kbit/s)."""
RELATED_BIT_ERRORS = 0.33
"""The most, on average, for arrangements and takes that share most of their sound; unrelated recordings have 0.4 to 0.5."""
MIN_COVERED = 0.9
EQUALLY_LONG = 1.02
MIN_FRAMES = 43
MIN_VOTES = 2
MAX_OCCURRENCES = 32
"""A word found more often is uninformative: silence, or a held note."""
MAX_WORDS = 20_000_000
"""Beyond this many frames, the search uses a fixed subset of all possible words, the same in every recording."""


def frame_at(sample: int, sample_rate_hz: int) -> int:
    """The frame that begins nearest to a sample of the audio."""
    return round(sample * RATE_HZ / (sample_rate_hz * HOP_SAMPLES))


class Fingerprinter:
    """32-bit words from audio that arrives in blocks (S, C)."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._resampler = soxr.ResampleStream(sample_rate_hz, RATE_HZ, 1, dtype="float32", quality="LQ")
        self._window = np.hanning(WINDOW_SAMPLES).astype(np.float32)
        self._bins = np.round(np.geomspace(LOWEST_HZ, HIGHEST_HZ, BANDS + 1) * WINDOW_SAMPLES / RATE_HZ).astype(int)
        self._rest = np.zeros(0, np.float32)
        self._before = np.zeros((0, BANDS), np.float32)
        self._words: list[np.ndarray] = []

    def add(self, block: np.ndarray) -> None:
        self._frames(self._resampler.resample_chunk(_mixed(block)))

    def words(self) -> np.ndarray:
        """uint32 (T,), one per 23 ms; 0 where the sound is too quiet. Call once, after the last block."""
        self._frames(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True))
        return np.concatenate([np.zeros(0, np.uint32), *self._words])

    def _frames(self, mono: np.ndarray) -> None:
        mono = np.concatenate([self._rest, mono])
        count = max(0, (len(mono) - WINDOW_SAMPLES) // HOP_SAMPLES + 1)
        self._rest = mono[count * HOP_SAMPLES :]
        if count:
            frames = np.lib.stride_tricks.sliding_window_view(mono, WINDOW_SAMPLES)[::HOP_SAMPLES]
            spectrum = rfft(frames * self._window)[:, : self._bins[-1]]
            power = spectrum.real**2 + spectrum.imag**2
            level = np.add.reduceat(power, self._bins[:-1], axis=1) / WINDOW_SAMPLES**2
            bands = np.concatenate([self._before, level])
            falls = np.diff(np.diff(bands, axis=1), axis=0) < 0
            packed = np.packbits(falls, axis=1, bitorder="little").view("<u4")[:, 0]
            self._words.append(np.where(bands[1:].sum(1) > AUDIBLE_POWER, packed, 0).astype(np.uint32))
            self._before = bands[-1:]


def _mixed(block: np.ndarray) -> np.ndarray:
    mono: np.ndarray = block[:, 0] if block.shape[1] == 1 else (block[:, 0] + block[:, 1]) / 2
    return np.ascontiguousarray(mono)


@dataclass(frozen=True)
class Likeness:
    """Recordings `a` < `b` (positions in the searched list) sound alike over nine tenths of the shorter one.

    `bit_errors` is the mean share of differing bits, `worst` the share in nearly the worst two seconds. Second t of `b` is
    second t + `offset_s` of `a`. `differs`: a closer look has shown that they are not the same audio.
    """

    a: int
    b: int
    bit_errors: float
    worst: float
    offset_s: float = 0.0
    differs: bool = False

    @property
    def is_copy(self) -> bool:
        return self.worst <= COPY_BIT_ERRORS and not self.differs


def find_alike(words: Sequence[np.ndarray]) -> list[Likeness]:
    """All pairs of recordings that are copies of each other, or related. Uses one or two recordings at a time, so
    `words` may read them from disk.
    """
    found: dict[tuple[int, int], Likeness] = {}
    for a, b, offset in _alignments(words):
        pair = _compare(a, b, words[a], words[b], offset)
        if pair is not None:
            found[a, b] = min(pair, found.get((a, b), pair), key=lambda likeness: likeness.worst)
    return [found[key] for key in sorted(found)]


def copies(alike: list[Likeness], lengths: list[int], settled: int = 0) -> dict[int, int]:
    """Copy -> the recording that is kept instead.

    The longest are kept. Of those that are equally long (within 2 %), the first in the list is kept, so list better formats
    first. The first `settled` of the list are kept in any case.
    """
    errors = {pair: like.bit_errors for like in alike if like.is_copy for pair in ((like.a, like.b), (like.b, like.a))}
    originals: dict[int, int] = {}
    kept = list(range(settled))
    for number in sorted(range(settled, len(lengths)), key=lambda number: (-lengths[number], number)):
        original = min((k for k in kept if (number, k) in errors), key=lambda k: errors[number, k], default=None)
        if original is None:
            kept.append(number)
        else:
            originals[number] = original
    for longest in kept[settled:]:
        equal = [n for n, k in originals.items() if k == longest and lengths[n] * EQUALLY_LONG >= lengths[k]]
        better = min([longest, *equal])
        if better != longest:
            del originals[better]
            originals = {n: better if k == longest else k for n, k in originals.items()} | {longest: better}
    return originals


def _alignments(words: Sequence[np.ndarray]) -> Iterator[tuple[int, int, int]]:
    """(a, b, offset): frame t of recording b may be frame t + offset of recording a; a comes before b in the list."""
    stride = max(1, sum(len(part) for part in words) // MAX_WORDS)
    values, owners, frames = [np.zeros(0, np.uint32)], [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
    for number, part in enumerate(words):
        kept = np.flatnonzero((part != 0) & (part % np.uint32(stride) == 0))
        values.append(part[kept])
        owners.append(np.full(len(kept), number, np.int32))
        frames.append(kept.astype(np.int32))
    value, owner, frame = np.concatenate(values), np.concatenate(owners), np.concatenate(frames)
    order = np.lexsort((owner, value))
    value, owner, frame = value[order], owner[order], frame[order]
    pairs = []
    for step in range(1, MAX_OCCURRENCES):  # the word `step` places further on in the sorted list is the same
        same = np.flatnonzero(value[step:] == value[:-step])
        same = same[owner[same] != owner[same + step]]
        pairs.append(np.stack([owner[same], owner[same + step], frame[same] - frame[same + step]], 1))
    found, votes = np.unique(np.concatenate(pairs), axis=0, return_counts=True)
    # The two best offsets of each pair of recordings; neighbouring offsets share the votes of one alignment.
    order = np.lexsort((-votes, found[:, 1], found[:, 0]))
    tried: dict[tuple[int, int], int] = {}
    for (a, b, offset), count in zip(found[order].tolist(), votes[order].tolist(), strict=True):
        if count >= MIN_VOTES and tried.get((a, b), 0) < 2:
            tried[a, b] = tried.get((a, b), 0) + 1
            yield a, b, offset


def _compare(a: int, b: int, left: np.ndarray, right: np.ndarray, offset: int) -> Likeness | None:
    """How alike the two are where they overlap and are audible; None if they are not even related, or share too little."""
    begin, end = max(0, -offset), min(len(right), len(left) - offset)
    shorter = min(len(left), len(right))
    if end - begin < max(MIN_COVERED * shorter, min(MIN_FRAMES, shorter)):
        return None
    offset_s = offset * HOP_SAMPLES / RATE_HZ
    left, right = left[begin + offset : end + offset], right[begin:end]
    audible = (left != 0) & (right != 0)
    if not audible.any():
        return None
    errors = np.bitwise_count(left[audible] ^ right[audible])
    bit_errors = float(errors.mean()) / 32
    if bit_errors > RELATED_BIT_ERRORS:
        return None
    parts = np.array_split(errors, max(1, len(errors) // BLOCK_FRAMES))
    worst = float(np.quantile([part.mean() for part in parts], COPY_QUANTILE)) / 32
    if len(errors) < SHORT_FRAMES:
        worst *= SHORT_STRICTNESS
    return Likeness(a, b, bit_errors, worst, offset_s)
