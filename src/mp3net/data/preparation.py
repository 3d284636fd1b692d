"""A folder of recordings -> a dataset on disk and a report that accounts for every file.

Every file becomes a piece in a staging folder, with a note beside it; when all files have one, duplicates are dropped and
the pieces are moved to `train/` and `heldout/`. So an interruption costs only the files in progress, and any number of
processes and machines that share the folder can decode parts of the files: the last call only renames. Recordings that were
added to the folder since go the same way into a finished dataset, whose pieces stay where they are.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from mp3net.config import DataConfig
from mp3net.data.curation import assign_splits, curate
from mp3net.data.fingerprint import Fingerprinter
from mp3net.data.index import INDEX_FILE, Index, read_index
from mp3net.data.inventory import (
    REPORT_FILE,
    SPLITS,
    FileReport,
    PrepareReport,
    Provenance,
    index_entry,
    stored_reports,
    write_card,
    write_reports,
)
from mp3net.data.isolation import IsolatedPool
from mp3net.data.pieces import Piece
from mp3net.data.recordings import LOOKED_FOR, Recordings, Shard, piece_name
from mp3net.data.staging import Staging, check_place, lock, open_staging, size_of
from mp3net.data.surveying import survey
from mp3net.errors import Mp3netError
from mp3net.files import write_json


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
    def left_s(self) -> float | None:
        """None while nothing that has a length is done."""
        left_s = max(0.0, self.total_s - self.done_s)
        if left_s and not self.done_s:
            return None
        return left_s / max(self.times_real_time, 1e-9)


Work = Callable[[Path], FileReport]
Lost = Callable[[Path, str], FileReport]
# Calls work(path) for every path, or lost(path, reason): an IsolatedPool, or a cluster's engine.
Runner = Callable[[Work, Lost, Iterable[Path]], Iterator[tuple[Path, FileReport]]]


@dataclass(frozen=True)
class _Finished:
    """What a finished dataset holds; empty for a new one. `reports` by path, `splits` and `sizes` (in bytes) by piece."""

    reports: dict[str, FileReport]
    splits: dict[str, str]
    sizes: dict[str, int]
    preset: str | None = None

    def known(self, folder: Path, path: str) -> FileReport | None:
        """The report of a file that need not be decoded again."""
        report = self.reports.get(path)
        if report is None or report.status == "skipped" or not self._is_listed(report):
            return None
        return report if report.source_bytes in (0, size_of(folder / path)) else None

    def has(self, file: FileReport) -> bool:
        before = self.reports.get(file.path)
        return before is not None and before.source_bytes == file.source_bytes and self._is_listed(before)

    def _is_listed(self, report: FileReport) -> bool:
        """Whether the index has it too: a call may have ended after writing the reports, before the index."""
        if report.status == "duplicate":
            original = self.reports.get(report.duplicate_of)
            return original is not None and original.status == "kept" and self._is_listed(original)
        return self.sizes.get(report.piece) == report.size_bytes

    def or_before(self, now: FileReport) -> FileReport:
        """The report of a file; if it can no longer be used, that of the piece that it once gave, which stays."""
        before = self.reports.get(now.path)
        if before is None or before.status != "kept" or now.status == "kept":
            return now
        return replace(before, reason=f"as it was; the file has changed since and cannot be used: {now.reason}")


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
    paths, not on workers, shards, engine or interruptions. If `out` holds a finished dataset of the same folder and
    settings, only files that are new or whose size has changed are decoded and added; what is there keeps its split.
    `provenance` and `preset` (the one that the dataset is for) are recorded in it.
    Errors: Mp3netError if the disk is too small or cannot be written, another process is at work in `out`, `out` holds
    something else, or no file is usable.
    """
    check_place(out, recordings, config)
    with lock(out, shard):
        check_place(out, recordings, config)  # it may have changed since
        finished = _read_finished(out)
        staging = open_staging(recordings, out, config)
        chosen = recordings.only(shard) if shard is not None else recordings
        try:
            with IsolatedPool(max(1, min(workers, len(chosen.paths)))) as pool:
                reports = _decode_all(chosen, staging, finished, pool, engine or pool, progress)
            files = [finished.or_before(reports[path]) for path in chosen.paths]
            files += [FileReport(path, piece_name(path), "skipped", why) for path, why in recordings.unread.items()]
            if shard is not None:
                return PrepareReport(files, {}, config)
            gone = (old for path, old in finished.reports.items() if path not in reports and old.status == "kept")
            files += [replace(old, reason="no longer in the folder; its piece stays") for old in gone]
            return _finish(staging, files, recordings, finished, provenance or Provenance(), preset, workers)
        except OSError as error:
            raise Mp3netError(f"{out}: cannot be written: {error}; mend that, then the same command goes on") from None


def not_yet(recordings: Recordings, out: Path, config: DataConfig) -> Recordings:
    """Those that are neither in the dataset nor decoded by an earlier call."""
    finished, staging = _read_finished(out), Staging(recordings.folder, out, config)
    known = (finished.known(recordings.folder, path) or staging.known(path) for path in recordings.paths)
    return replace(recordings, paths=[path for path, file in zip(recordings.paths, known, strict=True) if file is None])


def _read_finished(out: Path) -> _Finished:
    if not (out / INDEX_FILE).exists():
        return _Finished({}, {}, {})
    index, reports = read_index(out), {report.path: report for report in stored_reports(out)}
    splits = {entry["piece"]: entry["split"] for entry in index.entries}
    unreported = splits.keys() - {report.piece for report in reports.values() if report.status == "kept"}
    if unreported:
        raise Mp3netError(
            f"{out / REPORT_FILE}: does not have the piece {min(unreported)} of {out / INDEX_FILE}; restore the report that "
            "belongs to this dataset, or prepare into another --out"
        )
    sizes = {entry["piece"]: entry["size_bytes"] for entry in index.entries}
    return _Finished(reports, splits, sizes, index.preset)


def _decode_all(
    recordings: Recordings,
    staging: Staging,
    finished: _Finished,
    pool: IsolatedPool,
    run: Runner,
    progress: Callable[[Advance], None] | None,
) -> dict[str, FileReport]:
    folder = recordings.folder
    found = ((path, finished.known(folder, path) or staging.known(path)) for path in recordings.paths)
    reports = {path: report for path, report in found if report is not None}
    missing = [path for path in recordings.paths if path not in reports]
    durations = _lengths(replace(recordings, paths=missing), staging, pool)
    total_s, done_s, started = sum(durations.values()), 0.0, time.monotonic()
    # The longest first: otherwise one process may be left with an hour-long recording at the end.
    missing.sort(key=lambda path: (-durations[path], path))
    for path, report in run(staging.prepare_one, staging.lost, (folder / path for path in missing)):
        relative = str(path.relative_to(folder))
        reports[relative] = report
        done_s += durations[relative]
        if progress is not None:
            progress(Advance(len(reports), len(recordings.paths), done_s, total_s, time.monotonic() - started))
    return reports


def _lengths(missing: Recordings, staging: Staging, pool: IsolatedPool) -> dict[str, float]:
    """Seconds, as headers say. Errors: Mp3netError if the disk is too small for them."""
    if not missing.paths:
        return {}
    looked = survey(missing, staging.path, staging.config, pool)
    if looked.need_bytes > looked.free_bytes:
        raise Mp3netError(
            f"{staging.out}: the disk has {looked.free_bytes / 1e9:.2f} GB free, but {looked.need_bytes / 1e9:.2f} GB "
            f"are needed for {looked.duration_s / 3600:.1f} h of audio; free space or name an --out on another disk"
        )
    return {item.path: item.duration_s for item in looked.files}


def _finish(
    staging: Staging,
    files: list[FileReport],
    recordings: Recordings,
    finished: _Finished,
    provenance: Provenance,
    preset: str | None,
    workers: int,
) -> PrepareReport:
    """Drop duplicates, move the pieces to their splits, write the reports and, last, the index, which marks completeness."""
    out, config = staging.out, staging.config
    new = [file for file in files if file.status == "kept" and not finished.has(file)]
    if finished.splits and not new:
        shutil.rmtree(staging.path)
        return PrepareReport(files, finished.splits, config, provenance, added=[])
    words = _words(files, staging, workers)
    files = curate(files, words, {piece: staging.piece(piece) for piece in words}, config, finished.splits)
    kept = [file for file in files if file.status == "kept"]
    splits = assign_splits(kept, config, recordings.splits, finished.splits)
    added = [file.path for file in new if file.piece in splits] if finished.splits else None
    report = PrepareReport(files, splits, config, provenance, str(recordings.folder.resolve()), added)
    if not kept:
        write_reports(out, report)
        shutil.rmtree(staging.path)  # so that the next try may have other settings
        reasons = ", ".join(f"{reason} ({len(paths)})" for reason, paths in report.dropped_by_reason().items())
        none = "the only file is not" if len(files) == 1 else f"none of {len(files):,} files is"
        raise Mp3netError(
            f"{none} usable: {reasons}. Looked for {LOOKED_FOR} of at least "
            f"{config.min_duration_s:.4g} s; every file is in {out / REPORT_FILE}"
        )
    _move(staging, {file.piece: splits[file.piece] for file in kept})
    write_reports(out, report)
    write_card(out, report)
    index = Index(config, [index_entry(file, splits[file.piece]) for file in kept], preset or finished.preset)
    write_json(out / INDEX_FILE, index.to_json())
    shutil.rmtree(staging.path)
    return report


def _words(files: list[FileReport], staging: Staging, workers: int) -> dict[str, Path]:
    """The files of the fingerprints, by piece; those of a finished dataset's pieces are made again from their sound."""
    kept = [file for file in files if file.status == "kept"]
    lacking = {file.piece for file in kept if not staging.words(file.piece).exists()}
    if lacking:
        with IsolatedPool(workers) as pool:
            places = (place / f"{piece}.arrow" for piece in sorted(lacking) for place in staging.places[1:])
            work = partial(_fingerprint, staging)
            for path, reason in pool(work, _refuse, (place for place in places if place.exists())):
                if reason:
                    raise Mp3netError(f"{path}: {reason}; restore it, or prepare the dataset anew into another --out")
    return {file.piece: staging.words(file.piece) for file in kept}


def _fingerprint(staging: Staging, path: Path) -> str:
    try:
        piece, prints = Piece(path), Fingerprinter(staging.config.sample_rate_hz)
    except Mp3netError as error:
        return str(error)
    for rows, scale in zip(piece.rows, piece.scales, strict=True):
        prints.add(rows * scale)
    staging.store_words(path.stem, prints.words())
    return ""


def _refuse(path: Path, reason: str) -> str:
    return reason


def _move(staging: Staging, splits: dict[str, str]) -> None:
    """Move every piece to its split and delete the rest there: an interrupted earlier call may have split differently."""
    for split in SPLITS:
        (staging.out / split).mkdir(exist_ok=True)
    for piece, split in splits.items():
        target = staging.out / split / f"{piece}.arrow"
        if (found := staging.piece(piece)) != target:
            found.replace(target)
    for split in SPLITS:
        for stale in (staging.out / split).glob("*.arrow"):
            if splits.get(stale.stem) != split:
                stale.unlink()
