"""The unfinished part of a dataset: pieces with a note beside each, so that an interruption costs only files in progress."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mp3net.audio.decoding import UnusableAudioError, probe
from mp3net.config import DataConfig, parse_config
from mp3net.data.index import INDEX_FILE, STAGING, read_index
from mp3net.data.inventory import REPORT_FILE, SPLITS, TABLE_FILE, FileReport
from mp3net.data.option_names import differing_options
from mp3net.data.recordings import Recordings, Shard, piece_name
from mp3net.data.writing import write_piece
from mp3net.errors import Mp3netError
from mp3net.files import existing_part, read_json, replacing, write_json
from mp3net.locks import LOCK_FILE, Lock

PLAN_FILE = "plan.json"


@dataclass(frozen=True)
class Staging:
    """Pieces of the recordings below `folder`, on their way into the dataset `out`."""

    folder: Path
    out: Path
    config: DataConfig

    @property
    def path(self) -> Path:
        return self.out / STAGING

    @property
    def places(self) -> list[Path]:
        """Where a finished piece may lie: a call that was interrupted while moving has moved only some of them."""
        return [self.path, *(self.out / split for split in SPLITS)]

    def piece(self, name: str) -> Path:
        """The file of a piece. One in the staging folder is newer than those in the splits."""
        found = (place / f"{name}.arrow" for place in self.places)
        return next((path for path in found if path.exists()), self.path / f"{name}.arrow")

    def words(self, piece: str) -> Path:
        """The file of the piece's fingerprint."""
        return self.path / f"{piece}.npy"

    def known(self, relative: str) -> FileReport | None:
        """What an earlier call noted about a file that has not changed since."""
        piece = piece_name(relative)
        try:
            note = json.loads((self.path / f"{piece}.json").read_text())
            report = FileReport(**note["report"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        whole = report.status != "kept" or (
            self.words(piece).exists() and any((place / f"{piece}.arrow").exists() for place in self.places)
        )
        return report if whole and note.get("stamp") == _stamp(self.folder / relative) else None

    def prepare_one(self, path: Path) -> FileReport:
        """Worker: decode one file and note the outcome. Never raises for a bad file."""
        relative = str(path.relative_to(self.folder))
        piece = piece_name(relative)
        try:
            info = probe(path, self.config.downmix)
            written = write_piece(path, self.path / f"{piece}.arrow", piece, self.config)
        except UnusableAudioError as error:
            return self._note(FileReport(relative, piece, "skipped", str(error)))
        self.store_words(piece, written.words)
        report = FileReport(
            relative, piece, "kept", format=info.format, lossless=info.lossless, source_rate_hz=info.sample_rate_hz,
            source_channels=info.channels, num_samples=written.num_samples, trimmed_s=written.trimmed_s, peak=written.peak,
            loudness_lufs=written.loudness_lufs, first_row_offset=written.first_row_offset, row_bytes=written.row_bytes,
            size_bytes=written.size_bytes, missing_s=written.missing_s, damage=written.damage, source_bytes=size_of(path),
        )  # fmt: skip
        return self._note(report)

    def store_words(self, piece: str, words: np.ndarray) -> None:
        with replacing(self.words(piece)) as unfinished, unfinished.open("wb") as file:
            np.save(file, words)

    def lost(self, path: Path, reason: str) -> FileReport:
        """Note that the process that decoded a file was lost."""
        relative = str(path.relative_to(self.folder))
        piece = piece_name(relative)
        for leftover in self.path.glob(f".{piece}.*"):
            leftover.unlink()
        return self._note(FileReport(relative, piece, "skipped", reason))

    def _note(self, report: FileReport) -> FileReport:
        note = {"report": asdict(report), "stamp": _stamp(self.folder / report.path)}
        write_json(self.path / f"{report.piece}.json", note)
        return report


def size_of(path: Path) -> int:
    """In bytes; -1 if it is not there."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _stamp(path: Path) -> list[int]:
    """Changes when the file is replaced."""
    try:
        status = path.stat()
    except OSError:
        return [-1, -1]
    return [status.st_size, status.st_mtime_ns]


def check_place(out: Path, recordings: Recordings, config: DataConfig) -> None:
    """Errors: Mp3netError if `out` cannot become the dataset of these recordings, or take in new ones. Writes nothing."""
    folder = recordings.folder
    if folder.resolve() in (out.resolve(), *out.resolve().parents):
        raise Mp3netError(f"{out}: lies inside the folder of recordings {folder}; name an --out elsewhere")
    existing = existing_part(out)
    if not existing.is_dir():
        raise Mp3netError(f"{existing}: is a file; name a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise Mp3netError(f"{existing}: may not be written to; name an --out elsewhere")
    ours = {STAGING, REPORT_FILE, TABLE_FILE, LOCK_FILE, f"{LOCK_FILE}-holder"}
    if (out / INDEX_FILE).exists():
        _check_same(out, "dataset", {"config": read_index(out).config.model_dump()} | _recorded(out), recordings, config)
    elif (plan := out / STAGING / PLAN_FILE).exists():
        _check_same(out, "unfinished dataset", read_json(plan), recordings, config)
    elif out.exists() and not {path.name for path in out.iterdir()} <= ours:
        raise Mp3netError(f"{out}: is not empty and holds no dataset; name another --out")


def _recorded(out: Path) -> dict[str, Any]:
    """The folder that a finished dataset was made from, if it says so."""
    report = read_json(out / REPORT_FILE) if (out / REPORT_FILE).exists() else {}
    return {"folder": report["folder"]} if report.get("folder") else {}


def identity(recordings: Recordings, config: DataConfig) -> dict[str, Any]:
    """What the calls that work on one dataset must agree on."""
    fixed = hashlib.sha256(json.dumps(sorted(recordings.splits.items())).encode()).hexdigest()
    return {"folder": str(recordings.folder.resolve()), "config": config.model_dump(), "fixed_splits": fixed}


def _check_same(out: Path, what: str, before: Mapping[str, Any], recordings: Recordings, config: DataConfig) -> None:
    now = identity(recordings, config)
    stored: DataConfig = parse_config(before["config"], str(out), DataConfig)
    changed = differing_options(stored, config)
    if before.get("folder", now["folder"]) != now["folder"]:
        changed.append(f"folder of recordings: {before['folder']} -> {now['folder']}")
    if before.get("fixed_splits", now["fixed_splits"]) != now["fixed_splits"]:
        changed.append("the recordings or splits that the MAESTRO table lists")
    if changed:
        raise Mp3netError(
            f"{out}: holds a {what} of other settings (there -> now): {'; '.join(changed)}. Give the same as then to go on, "
            "or name another --out"
        )


def open_staging(recordings: Recordings, out: Path, config: DataConfig) -> Staging:
    """Errors: Mp3netError if it cannot be created."""
    staging = Staging(recordings.folder, out, config)
    try:
        staging.path.mkdir(parents=True, exist_ok=True)
        write_json(staging.path / PLAN_FILE, identity(recordings, config))
    except OSError as error:
        raise Mp3netError(f"{out}: cannot be created: {error.strerror}") from None
    return staging


def lock(out: Path, shard: Shard | None) -> Lock:
    """Only one process finishes a dataset, and no two decode the same shard; shards of one division run side by side.

    Errors: Mp3netError that names who is at work, or says that `out` cannot be written to.
    """
    try:
        (out / STAGING).mkdir(parents=True, exist_ok=True)
        whole = Lock(out, "mp3net prepare")
        held = whole if shard is None else Lock(out / STAGING, _work(shard), _lock_name(shard))
        held.acquire()
        try:
            _see_who_holds_shards(out, shard)
            if shard is not None:
                whole.acquire().release()
        except Mp3netError:
            held.release()
            raise
        return held
    except OSError as error:
        raise Mp3netError(f"{out}: cannot be written: {error.strerror}") from None


def _work(shard: Shard) -> str:
    return f"mp3net prepare --shard {shard.number}/{shard.count}"


def _lock_name(shard: Shard) -> str:
    return f"lock-shard-{shard.number}-of-{shard.count}"


def _see_who_holds_shards(out: Path, shard: Shard | None) -> None:
    """Errors: Mp3netError if somebody decodes a shard, of another division if this is one itself."""
    for path in (out / STAGING).glob("lock-shard-*"):
        number, _, count = path.name.removeprefix("lock-shard-").partition("-of-")
        if count.isdecimal() and (shard is None or int(count) != shard.count):
            other = Shard(int(number), int(count))
            Lock(out / STAGING, _work(other), _lock_name(other)).acquire().release()
