"""Whether a dataset has enough recordings: to learn from, and to be judged by."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mp3net.config import DataConfig, preset
from mp3net.evaluation.clips import MIN_CLIPS, MIN_PIECES, enough, split_evenly
from mp3net.words import counted

FEW_PIECES, FEW_HOURS = 10, 1.0
"""A generator may learn so few by heart. A single piece may be hours of music, though."""
MARGIN = 1.1
"""Lengths differ, so the halves of what is held out do too."""
MOST_HELDOUT, USUAL_HELDOUT = 0.5, 0.3


@dataclass(frozen=True)
class Amount:
    """The pieces of a dataset, each as its number of samples."""

    train: Sequence[int]
    heldout: Sequence[int]
    config: DataConfig
    preset: str | None = None

    @property
    def clip_samples(self) -> int:
        """Those of the clips that `mp3net evaluate` judges by: songs of the preset, if one was named."""
        if self.preset is not None:
            return preset(self.preset).song_samples
        return round(self.config.min_duration_s * self.config.sample_rate_hz)

    def clips(self, pieces: Sequence[int]) -> int:
        return sum(samples // self.clip_samples for samples in pieces)


def warnings(amount: Amount, splits_are_fixed: bool = False) -> Iterator[str]:
    """What has to be said of a dataset that is too small. `splits_are_fixed`: no share of it can be held out instead."""
    hours = sum(amount.train) / amount.config.sample_rate_hz / 3600
    if len(amount.train) < FEW_PIECES and hours < FEW_HOURS:
        yield (
            f"warning: {counted(len(amount.train), 'piece')} to train on: a generator will learn so few by heart. Add "
            "recordings"
        )
    pieces = [{"num_samples": samples} for samples in amount.heldout if samples >= amount.clip_samples]
    halves = split_evenly(pieces, amount.clip_samples, np.random.default_rng([0, amount.clip_samples]))
    if amount.heldout and not enough(*halves, amount.clip_samples):
        there = f"{counted(len(pieces), 'piece')} with {counted(amount.clips(amount.heldout), 'clip')}"
        yield (
            f"warning: too little is held out for a fair `mp3net evaluate`: {there} of "
            f"{amount.clip_samples / amount.config.sample_rate_hz:.3g} s, and it needs {2 * MIN_PIECES} pieces with "
            f"{2 * MIN_CLIPS} clips. {'Name more --years' if splits_are_fixed else _remedy(amount)}"
        )


def _remedy(amount: Amount) -> str:
    pieces = [*amount.train, *amount.heldout]
    clips_per_piece = max(amount.clips(pieces), 1) / len(pieces)
    wanted = max(2 * MIN_PIECES, math.ceil(MARGIN * 2 * MIN_CLIPS / clips_per_piece))
    share = math.ceil(20 * wanted / len(pieces)) / 20
    if share <= MOST_HELDOUT:
        return f"Prepare into another --out with --heldout {share:g}"
    return f"Add recordings: with --heldout {USUAL_HELDOUT:g} about {math.ceil(wanted / USUAL_HELDOUT)} are needed"
