"""The files to prepare: those below a folder, or those that the table of the MAESTRO collection lists."""

from __future__ import annotations

import csv
import hashlib
import os
import stat
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mp3net.errors import Mp3netError

LOOKED_FOR = "WAV, FLAC, OGG, Opus, MP3, M4A/AAC and AIFF"
SHOWN_PATHS = 3
LINKED_FOLDER = "a link to a folder, which is not followed: prepare that folder by itself, or move it here"
MAESTRO_SPLITS = {"train": "train", "validation": "heldout", "test": "heldout"}
MAESTRO_SOURCE = "MAESTRO: International Piano-e-Competition, Hawthorne et al. 2019"
MAESTRO_LICENCE = "CC-BY-NC-SA-4.0"


@dataclass(frozen=True)
class Shard:
    """Part `number` (from 1) of `count` parts of the files. Which part a file belongs to depends on its path alone."""

    number: int
    count: int

    def holds(self, relative: str) -> bool:
        digest = hashlib.sha256(os.fsencode(relative)).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.number - 1


@dataclass(frozen=True)
class Recordings:
    """Files below `folder`, as paths relative to it. `splits` fixes the split of some of them; `unread` says why others
    cannot even be tried: listed in a table but missing on disk, or folders that cannot be read."""

    folder: Path
    paths: list[str]
    splits: Mapping[str, str] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    licence: str = ""

    def only(self, shard: Shard) -> Recordings:
        return Recordings(self.folder, [path for path in self.paths if shard.holds(path)])


def parse_shard(text: str) -> Shard:
    """Errors: Mp3netError for anything but K/N with 1 <= K <= N."""
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise Mp3netError(f"--shard {text!r}: give K/N with K from 1 to N, such as 3/64")
    return Shard(int(number), int(count))


def find_files(folder: Path, refused: Callable[[Path, str], None] | None = None) -> list[Path]:
    """All files below `folder`, sorted by path, without hidden ones.

    `refused` is called with a reason for what cannot be read or is not a file: folders without permission, links to folders
    (they may lead anywhere, also back), pipes. Errors: Mp3netError if `folder` is not a folder.
    """
    if not folder.is_dir():
        what = "is a file; name the folder that holds it" if folder.exists() else "no such folder of recordings"
        raise Mp3netError(f"{folder}: {what}")
    refused = refused or (lambda path, reason: None)
    found = []

    def unread(error: OSError) -> None:
        refused(Path(error.filename), f"a folder that cannot be read: {error.strerror}")

    for parent, folders, names in os.walk(folder, onerror=unread):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in folders:
            if (path := Path(parent) / name).is_symlink():
                refused(path, LINKED_FOLDER)
        for path in (Path(parent) / name for name in names if not name.startswith(".")):
            if reason := _no_file(path):
                refused(path, reason)
            else:
                found.append(path)
    return sorted(found)


def _no_file(path: Path) -> str:
    """Why this is nothing to open; empty for files, and for links, of which opening them says what is wrong."""
    try:
        mode = path.lstat().st_mode
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return "" if stat.S_ISREG(mode) or stat.S_ISLNK(mode) else "a pipe or device, not a file"


def below(folder: Path) -> Recordings:
    """Every file below a folder. Errors: Mp3netError if there is none."""
    unread: dict[str, str] = {}

    def refused(path: Path, reason: str) -> None:
        unread[str(path.relative_to(folder))] = reason

    paths = [str(path.relative_to(folder)) for path in find_files(folder, refused)]
    if not paths:
        seen = "; ".join(f"{path}: {reason}" for path, reason in sorted(unread.items())[:SHOWN_PATHS])
        raise Mp3netError(
            f"{folder}: holds no files{f' but {seen}' if seen else ''}. Looked, at any depth, for {LOOKED_FOR}"
        )
    return Recordings(folder, paths, unread=unread)


def maestro(folder: Path, years: list[int] | None) -> Recordings:
    """The recordings that the MAESTRO collection's own table lists, for some years or all, in its own splits.

    `train` is trained on, `validation` and `test` are held out.
    Errors: Mp3netError if the table is missing or not MAESTRO's, lacks one of the years, or none of its files exists.
    """
    if not folder.is_dir():
        raise Mp3netError(
            f"--maestro {folder}: no such folder; name the unpacked MAESTRO folder, which holds maestro-v*.csv"
        )
    tables = sorted(folder.glob("maestro-v*.csv"))
    if not tables:
        raise Mp3netError(f"{folder}: holds no maestro-v*.csv; name the unpacked MAESTRO folder (with the audio files)")
    table = tables[-1]
    rows = _maestro_rows(table)
    there = sorted({int(row["year"]) for row in rows})
    unknown = sorted(set(years or []) - set(there))
    if unknown:
        raise Mp3netError(f"--years {_join(unknown)}: not in {table}; it has {_join(there)}")
    chosen = {row["audio_filename"]: MAESTRO_SPLITS[row["split"]] for row in rows if int(row["year"]) in (years or there)}
    present = sorted(path for path in chosen if (folder / path).exists())
    if not present:
        none = f"none of the {len(chosen)} recordings" if len(chosen) > 1 else "not the one recording"
        raise Mp3netError(f"{folder}: {none} that {table.name} lists for the years is there")
    absent = dict.fromkeys(sorted(set(chosen) - set(present)), "listed, but not there")
    return Recordings(folder, present, {p: chosen[p] for p in present}, absent, MAESTRO_SOURCE, MAESTRO_LICENCE)


def _maestro_rows(table: Path) -> list[dict[str, str]]:
    try:
        with table.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        if not rows:
            raise ValueError("it lists nothing")
        columns = {"audio_filename", "split", "year"} - set(rows[0])
        if columns:
            raise ValueError(f"it has no column {', '.join(sorted(columns))}")
        for number, row in enumerate(rows, 2):
            if not row["audio_filename"] or Path(row["audio_filename"]).is_absolute() or ".." in row["audio_filename"]:
                raise ValueError(f"line {number}: audio_filename {row['audio_filename']!r}")
            if row["split"] not in MAESTRO_SPLITS or not row["year"].isdecimal():
                raise ValueError(f"line {number}: split {row['split']!r}, year {row['year']!r}")
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, TypeError, AttributeError, ValueError) as error:
        raise Mp3netError(f"{table}: not a table of MAESTRO: {error}") from None
    return rows


def parse_years(text: str) -> list[int]:
    """Errors: Mp3netError for anything but comma-separated years."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise Mp3netError(f"--years {text!r}: give years with commas between them, such as 2004,2006,2008,2009")
    return [int(part) for part in parts]


def _join(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))


def piece_name(relative: str) -> str:
    """A name for the piece's file: short, portable, and distinct for distinct paths."""
    plain = unicodedata.normalize("NFKD", Path(relative).stem)
    bare = "".join(letter for letter in plain if not unicodedata.combining(letter))  # u for ü
    stem = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in bare)[:40]
    digest = hashlib.sha256(os.fsencode(relative)).hexdigest()[:10]
    return f"{stem.strip('-') or 'piece'}-{digest}"


def split_pieces(groups: Mapping[str, str], heldout_share: float, seed: int) -> dict[str, str]:
    """Assign whole pieces to "train" or "heldout". `groups` gives the group of each piece, empty for none: pieces of one
    group stay together, so that nothing held out is heard in another arrangement in training.

    Groups are ranked by the seeded hash of their names (a piece without one is a group of its own). In that order each is
    held out if that brings the share closer to the target. With two or more groups and a share above zero, both parts get at
    least one; a single group is for training.
    """
    members: dict[str, list[str]] = {}
    for piece, group in groups.items():
        members.setdefault(group or piece, []).append(piece)
    ranked = sorted(members, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())
    wanted, heldout = heldout_share * len(groups), set[str]()
    for name in ranked:
        if len(heldout) + len(members[name]) / 2 <= wanted:
            heldout |= set(members[name])
    if heldout_share > 0 and len(ranked) > 1 and not heldout:
        heldout = set(members[min(ranked, key=lambda name: len(members[name]))])
    if groups and len(heldout) == len(groups):
        heldout -= set(members[ranked[-1]])
    return {piece: "heldout" if piece in heldout else "train" for piece in groups}
