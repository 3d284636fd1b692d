"""Memorisation: the nearest passage of the training data to each clip, whatever its shift and gain.

Clips and recordings become log-mel frames every 46 ms. A clip is compared with every position of every training recording
by normalised correlation after each band's mean over the passage is removed: a gain, which is an offset in dB, cancels out,
as does a filter. What is compared is what happens, not how it sounds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mp3net.data.storage import Store
from mp3net.dsp.spectrogram import power_of_two, power_spectrogram
from mp3net.evaluation.clips import ClipSet
from mp3net.evaluation.embeddings import mel_filters
from mp3net.evaluation.spectrum import Features

BANDS = 32
HOP_S = 0.0465
RANGE_DB = 60.0
PROBE_S = 6.0
MIN_DEVIATION_DB = 1.0  # a passage flatter than this is silence, which would resemble everything
BLOCK_S = 120.0
WINDOWS_PER_PRODUCT = 4096
COPY_QUANTILE = 5.0


def hop_samples(sample_rate_hz: int) -> int:
    """Samples from one frame to the next: the power of two nearest to 46 ms."""
    return power_of_two(HOP_S * sample_rate_hz)


def describe(sound: np.ndarray, sample_rate_hz: int) -> Tensor:
    """(C, S) -> level in dB (frames, 32), at most 60 dB below the loudest; frame t is centred on sample t x hop."""
    hop = hop_samples(sample_rate_hz)
    power = power_spectrogram(torch.from_numpy(sound), 2 * hop, hop).mean(0)
    level = 10 * torch.log10((mel_filters(sample_rate_hz, 2 * hop, BANDS) @ power).clamp(min=1e-12))
    return level.clamp(min=float(level.max()) - RANGE_DB).T


@dataclass(frozen=True)
class TrainingIndex:
    """Descriptors of all training recordings: frames (T, 32), and where each recording begins in them."""

    frames: Tensor
    starts: np.ndarray
    pieces: list[str]
    sources: list[str]


def index_training(store: Store, progress: Callable[[int, int], None] | None = None) -> TrainingIndex:
    """Describe the training recordings of a dataset, in blocks of two minutes."""
    config = store.index.config
    train = [entry for entry in store.index.entries if entry["split"] == "train"]
    hop = hop_samples(config.sample_rate_hz)
    block = round(BLOCK_S * config.sample_rate_hz) // hop * hop
    parts, starts, total = [], [], 0
    for done, entry in enumerate(train):
        piece = store.open(entry)
        starts.append(total)
        for first in range(0, entry["num_samples"], block):
            count = min(block, entry["num_samples"] - first)
            described = describe(piece.read(first, count), config.sample_rate_hz)[: -(-count // hop)]
            parts.append(described)
            total += len(described)
        if progress is not None:
            progress(done + 1, len(train))
    pieces, sources = ([entry[key] for entry in train] for key in ("piece", "source"))
    return TrainingIndex(torch.cat(parts), np.array(starts), pieces, sources)


def nearest(queries: Tensor, index: TrainingIndex, excluded: list[str] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Queries (n, P, 32) in dB -> highest correlation (n,) with any passage of P frames, and the frame where it begins.

    `excluded[i]` is a piece that query i must not be compared with: its own. Passages do not cross recordings.
    """
    n, length, _ = queries.shape
    centred = (queries - queries.mean(1, keepdim=True)).transpose(1, 2).reshape(n, -1)
    norm = centred.norm(dim=1, keepdim=True)
    flat = norm[:, 0] < MIN_DEVIATION_DB * np.sqrt(centred.shape[1])
    centred = centred / norm.clamp(min=1e-9)
    ends = np.append(index.starts[1:], len(index.frames))
    best = torch.full((n,), -1.0)
    place = torch.zeros(n, dtype=torch.int64)
    for piece, start, end in zip(index.pieces, index.starts, ends, strict=True):
        skip = torch.tensor([name == piece for name in excluded]) if excluded is not None else None
        for first in range(int(start), int(end) - length + 1, WINDOWS_PER_PRODUCT):
            last = min(first + WINDOWS_PER_PRODUCT, int(end) - length + 1)
            similarity = _correlate(centred, index.frames[first : last + length - 1], length)
            if skip is not None:
                similarity[:, skip] = -1.0
            value, where = similarity.max(0)
            better = value > best
            best, place = torch.where(better, value, best), torch.where(better, where + first, place)
    return torch.where(flat, torch.zeros(()), best).numpy(), place.numpy()


def _correlate(queries: Tensor, frames: Tensor, length: int) -> Tensor:
    """Normalised queries (n, 32 * P) and frames (T + P - 1, 32) -> correlations (T, n)."""
    windows = frames.unfold(0, length, 1)  # (T, 32, P)
    norm = windows.var(-1, correction=0).sum(1).mul(length).sqrt()
    similarity = windows.flatten(1) @ queries.T / norm.clamp(min=1e-9)[:, None]
    similarity[norm < MIN_DEVIATION_DB * np.sqrt(length * frames.shape[1])] = 0
    return similarity


def search(clips: ClipSet, index: TrainingIndex, exclude_own: bool, progress: Callable[[int], None]) -> Features:
    """For each clip: `similarity` (n,) to its nearest training passage, `frame` (n,) where that begins, `offset_s` (n,).

    Clips longer than 6 s are searched in parts of 6 s, of which the most similar counts; `offset_s` is where it begins.
    """
    rate = clips.form.sample_rate_hz
    hop = hop_samples(rate)
    part = min(round(PROBE_S * rate) // hop, clips.form.clip_samples // hop) * hop
    offsets = list(range(0, clips.form.clip_samples - part + 1, part))
    # Edge frames extend beyond the clip, so they are left out, here and (by one frame) in the position.
    queries = []
    for number in range(len(clips)):
        sound = clips.batch(number, number + 1)[0]
        queries += [describe(sound[:, offset : offset + part], rate)[1:-1] for offset in offsets]
        progress(number + 1)
    own = [source for source in clips.sources for _ in offsets] if exclude_own else None
    similarity, frame = nearest(torch.stack(queries), index, own)
    similarity, frame = similarity.reshape(-1, len(offsets)), frame.reshape(-1, len(offsets))
    rows, best = np.arange(len(clips)), similarity.argmax(1)
    return {"similarity": similarity[rows, best], "frame": frame[rows, best], "offset_s": np.array(offsets)[best] / rate}


@dataclass(frozen=True)
class Match:
    """The nearest training passage to a clip."""

    clip: str
    clip_position_s: float
    similarity: float
    source: str
    source_position_s: float


def matches(clips: ClipSet, found: Features, index: TrainingIndex) -> list[Match]:
    """Where each clip's nearest passage lies, the most similar first. Positions are exact to about 50 ms."""
    hop_s = hop_samples(clips.form.sample_rate_hz) / clips.form.sample_rate_hz
    out = []
    for number in np.argsort(-found["similarity"], kind="stable"):
        recording = int(np.searchsorted(index.starts, found["frame"][number], side="right")) - 1
        position = max(float(found["frame"][number] - index.starts[recording] - 1) * hop_s, 0.0)
        out.append(
            Match(
                clips.sources[number],
                clips.positions_s[number] + float(found["offset_s"][number]),
                float(found["similarity"][number]),
                index.sources[recording],
                position,
            )
        )
    return out


def copy_threshold(copies: np.ndarray) -> float:
    """Similarity above which a clip counts as copied: 95 % of exact copies, cut anywhere, reach it.

    The share of real clips, never trained on, that also reach it is measured too, since recordings repeat each other.
    """
    return float(np.percentile(copies, COPY_QUANTILE))
