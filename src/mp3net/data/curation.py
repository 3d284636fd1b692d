"""Which recordings stay, and which of them are held out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from mp3net.config import DataConfig
from mp3net.data.fingerprint import Likeness, copies, find_alike
from mp3net.data.inventory import FileReport
from mp3net.data.pieces import Piece
from mp3net.data.recordings import split_pieces
from mp3net.data.sameness import compare_pieces

OPEN_PIECES = 64
HELD_WORDS = 1024
"""As many fingerprints stay in memory: 40 KB for a song, 0.6 MB for an hour."""


class _StoredWords(Sequence[np.ndarray]):
    """Fingerprints, read on demand: those of 10,000 hours take 6 GB."""

    def __init__(self, paths: list[Path]) -> None:
        self._paths = paths
        self._load = lru_cache(HELD_WORDS)(lambda path: np.load(path, allow_pickle=False))

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, number: Any) -> Any:
        return self._load(self._paths[number])


def curate(
    files: list[FileReport],
    words: Mapping[str, Path],
    pieces: Mapping[str, Path],
    config: DataConfig,
    stay: Collection[str] = (),
) -> list[FileReport]:
    """Mark copies, and give recordings that sound alike a common `group`. `words` and `pieces`: the files of fingerprints
    and of sound, by piece.

    Of the same audio, the longest is kept; at equal length, the one that lost least: lossless, then the higher rate. Pieces
    in `stay` are kept whatever they resemble.
    """
    kept = [file for file in files if file.status == "kept"]
    kept.sort(key=lambda file: (
        file.piece not in stay, not file.lossless, -file.source_rate_hz, -file.source_channels, file.path
    ))  # fmt: skip
    alike = find_alike(_StoredWords([words[file.piece] for file in kept]))
    alike = _looked_at(alike, [pieces[file.piece] for file in kept], config)
    settled = sum(file.piece in stay for file in kept)
    originals = copies(alike, [file.num_samples for file in kept], settled) if config.drop_duplicates else {}
    group = list(range(len(kept)))
    for like in alike:  # the smallest number of a group names it; there are few pairs, so renaming all is fast enough
        low, high = sorted((group[like.a], group[like.b]))
        group = [low if number == high else number for number in group]
    sizes = Counter(group)
    names = {group[number]: file.piece for number, file in reversed(list(enumerate(kept))) if sizes[group[number]] > 1}
    # A group keeps the name that it has in a finished dataset, also if its other members are copies that were dropped.
    names |= {group[number]: file.group for number, file in enumerate(kept) if file.group}
    changed = {file.path: replace(file, group=names.get(group[number], "")) for number, file in enumerate(kept)}
    for copy, original in originals.items():
        path = kept[original].path
        changed[kept[copy].path] = replace(
            changed[kept[copy].path], status="duplicate", reason=f"the same audio as {path}", duplicate_of=path
        )
    return [changed.get(file.path, file) for file in files]


def _looked_at(alike: list[Likeness], pieces: list[Path], config: DataConfig) -> list[Likeness]:
    """Fingerprints cannot tell another mix, a remaster or another touch of the same keys from a copy; the sound can."""
    opened = lru_cache(OPEN_PIECES)(lambda number: Piece(pieces[number]))

    def differs(like: Likeness) -> bool:
        found = compare_pieces(opened(like.a), opened(like.b), like.offset_s, config.sample_rate_hz)
        return found is not None and not found.is_same

    return [replace(like, differs=like.is_copy and differs(like)) for like in alike]


def assign_splits(
    kept: list[FileReport], config: DataConfig, listed: Mapping[str, str], settled: Mapping[str, str]
) -> dict[str, str]:
    """Piece -> split. `listed` fixes those of some paths, `settled` those of pieces that a finished dataset already has: new
    recordings that sound like one of them go where it is."""
    splits = {file.piece: settled[file.piece] for file in kept if file.piece in settled}
    splits |= {file.piece: listed[file.path] for file in kept if file.path in listed}
    of_group = {file.group: splits[file.piece] for file in kept if file.group and file.piece in settled}
    splits |= {file.piece: of_group[file.group] for file in kept if file.piece not in splits and file.group in of_group}
    free = {file.piece: file.group for file in kept if file.piece not in splits}
    share = config.heldout_share
    if settled and free:  # so that the share of the whole is right
        held = sum(split == "heldout" for split in splits.values())
        wanted = round(share * len(kept)) - held
        share = min(max(wanted / len(free), 0.0), 0.99)
    return splits | split_pieces(free, share, config.split_seed)
