"""A folder of recordings -> a dataset on disk and a report that accounts for every file.

Every file becomes a piece in a staging folder, with a note beside it; when all files have one, duplicates are dropped and
the pieces are moved to `train/` and `heldout/`. So an interruption costs only the files in progress, and any number of
processes and machines that share the folder can decode parts of the files: the last call only renames.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mp3net.audio.decoding import UnusableAudioError, probe
from mp3net.config import DataConfig
from mp3net.data.fingerprint import copies, find_alike
from mp3net.data.index import INDEX_FILE, STAGING, Index
from mp3net.data.inventory import (
    REPORT_FILE,
    SPLITS,
    TABLE_FILE,
    FileReport,
    PrepareReport,
    Provenance,
    index_entry,
    write_card,
    write_reports,
)
from mp3net.data.isolation import IsolatedPool
from mp3net.data.recordings import LOOKED_FOR, Recordings, Shard, piece_name, split_pieces
from mp3net.data.writing import SPOOL_BYTES, write_piece
from mp3net.errors import Mp3netError
from mp3net.files import existing_part, read_json, replacing, write_json

PLAN_FILE = "plan.json"
FINGERPRINT_BYTES_PER_S = 173
FREE_SHARE = 0.02


@dataclass(frozen=True)
class Surveyed:
    """What a file's header promises; `reason` is why the file cannot be used, if that is already known."""

    path: str
    duration_s: float
    reason: str = ""


@dataclass(frozen=True)
class Survey:
    """What preparation will take, before anything is written."""

    files: list[Surveyed]
    need_bytes: int
    free_bytes: int

    @property
    def duration_s(self) -> float:
        return sum(file.duration_s for file in self.files)


@dataclass(frozen=True)
class Advance:
    """The progress of the preparation. `done_s` and `total_s` are seconds of audio."""

    done: int
    total: int
    done_s: float
    total_s: float
    elapsed_s: float

    @property
    def times_real_time(self) -> float:
        return self.done_s / max(self.elapsed_s, 1e-9)

    @property
    def left_s(self) -> float:
        return (self.total_s - self.done_s) / max(self.times_real_time, 1e-9)


Work = Callable[[Path], FileReport]
Lost = Callable[[Path, str], FileReport]
# Calls work(path) for every path, or lost(path, reason): an IsolatedPool, or a cluster's engine.
Runner = Callable[[Work, Lost, Iterable[Path]], Iterator[tuple[Path, FileReport]]]


def survey(recordings: Recordings, out: Path, config: DataConfig, pool: IsolatedPool) -> Survey:
    """Read every file's header, and predict the most disk space that preparing the dataset will take."""
    look, lost = partial(_look, recordings.folder, config.downmix), partial(_lost_look, recordings.folder)
    paths = [recordings.folder / path for path in recordings.paths]
    found = {item.path: item for _, item in pool(look, lost, paths)}
    files = [found[path] for path in recordings.paths]
    rate = config.sample_rate_hz * config.channels
    need = sum(file.duration_s for file in files) * (2 * rate + FINGERPRINT_BYTES_PER_S)
    spooled = sorted((4 * rate * file.duration_s for file in files), reverse=True)[: pool.workers]
    need += sum(size for size in spooled if size > SPOOL_BYTES)
    return Survey(files, round(need * (1 + FREE_SHARE)), shutil.disk_usage(existing_part(out)).free)


def _look(folder: Path, downmix: bool, path: Path) -> Surveyed:
    relative = str(path.relative_to(folder))
    try:
        return Surveyed(relative, probe(path, downmix).duration_s)
    except UnusableAudioError as error:
        return Surveyed(relative, 0.0, str(error))


def _lost_look(folder: Path, path: Path, reason: str) -> Surveyed:
    return Surveyed(str(path.relative_to(folder)), 0.0, reason)


def prepare(
    recordings: Recordings,
    out: Path,
    config: DataConfig,
    workers: int,
    progress: Callable[[Advance], None] | None = None,
    shard: Shard | None = None,
    engine: Runner | None = None,
    provenance: Provenance | None = None,
    preset: str | None = None,
) -> PrepareReport:
    """Decode, resample and store the recordings in the folder `out`; parallel and resumable.

    With `shard`, only that part of the files is decoded, and the dataset stays unfinished; when all shards are done, a call
    without `shard` finds nothing left to decode and finishes it. Which files go where depends only on `config` and the
    paths, not on workers, shards, engine or interruptions.
    `provenance` and `preset` (the one that the dataset is for) are recorded in it.
    Errors: Mp3netError if the disk is too small or cannot be written, `out` holds a finished or foreign dataset, or no file
    is usable.
    """
    check_place(out, recordings, config)
    staging = _open_staging(out, recordings, config)
    chosen = recordings.only(shard) if shard is not None else recordings
    try:
        with IsolatedPool(max(1, min(workers, len(chosen.paths)))) as pool:
            reports = _decode_all(chosen, staging, config, pool, engine or pool, progress)
        files = [reports[path] for path in chosen.paths]
        files += [FileReport(path, piece_name(path), "skipped", reason) for path, reason in recordings.unread.items()]
        if shard is not None:
            return PrepareReport(files, {}, config)
        return _finish(out, staging, files, recordings, config, provenance or Provenance(), preset)
    except OSError as error:
        raise Mp3netError(f"{out}: cannot be written: {error}; mend that, then the same command goes on") from None


def _decode_all(
    recordings: Recordings,
    staging: Path,
    config: DataConfig,
    pool: IsolatedPool,
    run: Runner,
    progress: Callable[[Advance], None] | None,
) -> dict[str, FileReport]:
    folder = recordings.folder
    reports = {path: report for path in recordings.paths if (report := _known(folder, path, staging)) is not None}
    missing = [path for path in recordings.paths if path not in reports]
    looked = survey(replace(recordings, paths=missing), staging, config, pool) if missing else None
    if looked is not None and looked.need_bytes > looked.free_bytes:
        raise Mp3netError(
            f"{staging.parent}: the disk has {looked.free_bytes / 1e9:.2f} GB free, but {looked.need_bytes / 1e9:.2f} GB "
            f"are needed for {looked.duration_s / 3600:.1f} h of audio; free space or name an --out on another disk"
        )
    durations = {item.path: item.duration_s for item in looked.files} if looked is not None else {}
    total_s, done_s, started = sum(durations.values()), 0.0, time.monotonic()
    work, lost = partial(_prepare_one, folder, staging, config), partial(_lost, folder, staging)
    # The longest first: otherwise one process may be left with an hour-long recording at the end.
    missing.sort(key=lambda path: (-durations[path], path))
    for path, report in run(work, lost, (folder / path for path in missing)):
        relative = str(path.relative_to(folder))
        reports[relative] = report
        done_s += durations[relative]
        if progress is not None:
            progress(Advance(len(reports), len(recordings.paths), done_s, total_s, time.monotonic() - started))
    return reports


def _stamp(path: Path) -> list[int]:
    """Changes when the file is replaced."""
    try:
        status = path.stat()
    except OSError:
        return [-1, -1]
    return [status.st_size, status.st_mtime_ns]


def _known(folder: Path, relative: str, staging: Path) -> FileReport | None:
    """What an earlier call noted about a file that has not changed since."""
    piece = piece_name(relative)
    try:
        note = json.loads((staging / f"{piece}.json").read_text())
        report = FileReport(**note["report"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    whole = report.status != "kept" or (
        (staging / f"{piece}.npy").exists() and any((place / f"{piece}.arrow").exists() for place in _places(staging))
    )
    return report if whole and note.get("stamp") == _stamp(folder / relative) else None


def _places(staging: Path) -> list[Path]:
    """Where a finished piece may lie: a call that was interrupted while moving has moved only some of them."""
    return [staging, *(staging.parent / split for split in SPLITS)]


def _prepare_one(folder: Path, staging: Path, config: DataConfig, path: Path) -> FileReport:
    """Worker: decode one file and note the outcome. Never raises for a bad file."""
    relative = str(path.relative_to(folder))
    piece = piece_name(relative)
    for place in _places(staging):
        (place / f"{piece}.arrow").unlink(missing_ok=True)
    try:
        info = probe(path, config.downmix)
        written = write_piece(path, staging / f"{piece}.arrow", piece, config)
    except UnusableAudioError as error:
        return _note(folder, staging, FileReport(relative, piece, "skipped", str(error)))
    with replacing(staging / f"{piece}.npy") as unfinished, unfinished.open("wb") as file:
        np.save(file, written.words)
    report = FileReport(
        relative, piece, "kept", format=info.format, lossless=info.lossless, source_rate_hz=info.sample_rate_hz,
        source_channels=info.channels, num_samples=written.num_samples, trimmed_s=written.trimmed_s, peak=written.peak,
        loudness_lufs=written.loudness_lufs, first_row_offset=written.first_row_offset, row_bytes=written.row_bytes,
        size_bytes=written.size_bytes, missing_s=written.missing_s, damage=written.damage,
    )  # fmt: skip
    return _note(folder, staging, report)


def _lost(folder: Path, staging: Path, path: Path, reason: str) -> FileReport:
    relative = str(path.relative_to(folder))
    piece = piece_name(relative)
    for leftover in staging.glob(f".{piece}.*"):
        leftover.unlink()
    return _note(folder, staging, FileReport(relative, piece, "skipped", reason))


def _note(folder: Path, staging: Path, report: FileReport) -> FileReport:
    note = {"report": asdict(report), "stamp": _stamp(folder / report.path)}
    write_json(staging / f"{report.piece}.json", note)
    return report


def check_place(out: Path, recordings: Recordings, config: DataConfig) -> None:
    """Errors: Mp3netError if `out` cannot become the dataset of these recordings. Writes nothing."""
    folder = recordings.folder
    if folder.resolve() in (out.resolve(), *out.resolve().parents):
        raise Mp3netError(f"{out}: lies inside the folder of recordings {folder}; name an --out elsewhere")
    existing = existing_part(out)
    if not existing.is_dir():
        raise Mp3netError(f"{existing}: is a file; name a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise Mp3netError(f"{existing}: may not be written to; name an --out elsewhere")
    if (out / INDEX_FILE).exists():
        raise Mp3netError(f"{out}: already holds a finished dataset; name another --out, or delete it to prepare again")
    if (plan := out / STAGING / PLAN_FILE).exists():
        if read_json(plan) != _identity(recordings, config):
            raise Mp3netError(f"{out}: holds an unfinished dataset of other settings or another folder; delete it first")
    elif out.exists() and not {path.name for path in out.iterdir()} <= {STAGING, REPORT_FILE, TABLE_FILE}:
        raise Mp3netError(f"{out}: is not empty and holds no dataset; name another --out")


def _identity(recordings: Recordings, config: DataConfig) -> dict[str, Any]:
    """What the calls that work on one dataset must agree on."""
    fixed = hashlib.sha256(json.dumps(sorted(recordings.splits.items())).encode()).hexdigest()
    return {"folder": str(recordings.folder.resolve()), "config": config.model_dump(), "fixed_splits": fixed}


def _open_staging(out: Path, recordings: Recordings, config: DataConfig) -> Path:
    staging = out / STAGING
    try:
        staging.mkdir(parents=True, exist_ok=True)
        write_json(staging / PLAN_FILE, _identity(recordings, config))
    except OSError as error:
        raise Mp3netError(f"{out}: cannot be created: {error.strerror}") from None
    return staging


def _finish(
    out: Path,
    staging: Path,
    files: list[FileReport],
    recordings: Recordings,
    config: DataConfig,
    provenance: Provenance,
    preset: str | None,
) -> PrepareReport:
    """Drop duplicates, move the pieces to their splits, write the reports and, last, the index, which marks completeness."""
    files = _curate(files, staging, config)
    kept = [file for file in files if file.status == "kept"]
    free = {file.piece: file.group for file in kept if file.path not in recordings.splits}
    splits = split_pieces(free, config.heldout_share, config.split_seed)
    splits |= {file.piece: recordings.splits[file.path] for file in kept if file.path in recordings.splits}
    report = PrepareReport(files, splits, config, provenance)
    write_reports(out, report)
    if not kept:
        shutil.rmtree(staging)  # so that the next try may have other settings
        reasons = ", ".join(f"{reason} ({len(paths)})" for reason, paths in report.dropped_by_reason().items())
        raise Mp3netError(
            f"none of {len(files)} files is usable: {reasons}. Looked for {LOOKED_FOR} of at least "
            f"{config.min_duration_s:.4g} s; every file is in {out / REPORT_FILE}"
        )
    _move(out, staging, {file.piece: splits[file.piece] for file in kept})
    write_card(out, report)
    index = Index(config, [index_entry(file, splits[file.piece]) for file in kept], preset)
    write_json(out / INDEX_FILE, index.to_json())
    shutil.rmtree(staging)
    return report


class _StoredWords(Sequence[np.ndarray]):
    """Fingerprints, read on demand: those of 10,000 hours take 6 GB."""

    def __init__(self, paths: list[Path]) -> None:
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, number: Any) -> Any:
        return np.load(self._paths[number], allow_pickle=False)


def _curate(files: list[FileReport], staging: Path, config: DataConfig) -> list[FileReport]:
    """Mark copies, and give recordings that sound alike a common `group`.

    Of the same audio, the longest is kept; at equal length, the one that lost least: lossless, then the higher rate.
    """
    kept = [file for file in files if file.status == "kept"]
    kept.sort(key=lambda file: (not file.lossless, -file.source_rate_hz, -file.source_channels, file.path))
    alike = find_alike(_StoredWords([staging / f"{file.piece}.npy" for file in kept]))
    originals = copies(alike, [file.num_samples for file in kept]) if config.drop_duplicates else {}
    group = list(range(len(kept)))
    for like in alike:  # the smallest number of a group names it; there are few pairs, so renaming all is fast enough
        low, high = sorted((group[like.a], group[like.b]))
        group = [low if number == high else number for number in group]
    sizes = Counter(group)
    changed = {
        file.path: replace(file, group=kept[group[number]].piece if sizes[group[number]] > 1 else "")
        for number, file in enumerate(kept)
    }
    for copy, original in originals.items():
        path = kept[original].path
        changed[kept[copy].path] = replace(
            changed[kept[copy].path], status="duplicate", reason=f"the same audio as {path}", duplicate_of=path
        )
    return [changed.get(file.path, file) for file in files]


def _move(out: Path, staging: Path, splits: dict[str, str]) -> None:
    """Move every piece to its split and delete the rest there: an interrupted earlier call may have split differently."""
    for split in SPLITS:
        (out / split).mkdir(exist_ok=True)
    for piece, split in splits.items():
        target = out / split / f"{piece}.arrow"
        for place in _places(staging):
            found = place / f"{piece}.arrow"
            if found != target and found.exists():
                found.replace(target)
    for split in SPLITS:
        for stale in (out / split).glob("*.arrow"):
            if splits.get(stale.stem) != split:
                stale.unlink()
