"""A folder of recordings -> a dataset on disk and a report that accounts for every file.

One Arrow stream file per recording, in `train/` or `heldout/`: readable by HF `datasets`, memory-mapped in training.
A row is a few seconds of one recording; its 16-bit samples are scaled to the row's own peak, so quiet passages keep their
resolution. `dataset.json` lists the pieces, `report.json` every file that was found.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mp3net import audio
from mp3net.config import DataConfig, parse_config
from mp3net.errors import Mp3netError
from mp3net.files import read_json, write_json

FORMAT_VERSION = 1
ROW_SAMPLES = 1 << 18
SPLITS = ("train", "heldout")
STAGING = "pieces.partial"
INDEX_FILE = "dataset.json"
REPORT_FILE = "report.json"
Progress = Callable[[int, int], None]  # files done, files in all
SCHEMA = pa.schema(
    [
        pa.field("piece", pa.string()),
        pa.field("start_sample", pa.int64()),
        pa.field("num_samples", pa.int64()),
        pa.field("channels", pa.int32()),
        pa.field("sample_rate_hz", pa.int32()),
        pa.field("scale", pa.float32()),
        pa.field("audio", pa.list_(pa.int16())),  # interleaved; times `scale` gives the samples in [-1, 1]
    ]
)


@dataclass(frozen=True)
class FileReport:
    """What became of one file: kept as a piece, or skipped and why. `path` is relative to the folder of recordings."""

    path: str
    piece: str
    status: str  # "kept" or "skipped"
    reason: str = ""
    num_samples: int = 0
    peak: float = 0.0


@dataclass(frozen=True)
class PrepareReport:
    """The outcome of `prepare`."""

    files: list[FileReport]
    splits: dict[str, str]  # piece -> "train" or "heldout"
    size_bytes: int
    config: DataConfig

    @property
    def kept(self) -> list[FileReport]:
        return [file for file in self.files if file.status == "kept"]

    def hours(self, split: str) -> float:
        samples = sum(file.num_samples for file in self.kept if self.splits[file.piece] == split)
        return samples / self.config.sample_rate_hz / 3600

    def skipped_by_reason(self) -> dict[str, list[str]]:
        reasons: dict[str, list[str]] = {}
        for file in self.files:
            if file.status == "skipped":
                reasons.setdefault(file.reason, []).append(file.path)
        return reasons


def find_files(folder: Path) -> list[Path]:
    """All regular files below `folder`, sorted by path; hidden ones and linked folders are left out."""
    if not folder.is_dir():
        what = "is a file; name the folder that holds it" if folder.exists() else "no such folder of recordings"
        raise Mp3netError(f"{folder}: {what}")
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(parent) / name for name in names if not name.startswith(".")]
    return sorted(path for path in found if path.is_file() or path.is_symlink())


def piece_name(relative: str) -> str:
    """A name for the piece's file: short, portable, distinct for distinct paths."""
    stem = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in Path(relative).stem)[:40]
    digest = hashlib.sha256(os.fsencode(relative)).hexdigest()[:10]
    return f"{stem.strip('-') or 'piece'}-{digest}"


def split_pieces(pieces: list[str], config: DataConfig) -> dict[str, str]:
    """Assign whole pieces to "train" or "heldout": the seeded hash of its name ranks each piece.

    With two or more pieces and a share above zero, both parts get at least one; a single piece is for training.
    """
    ranked = sorted(pieces, key=lambda piece: hashlib.sha256(f"{config.split_seed}/{piece}".encode()).digest())
    count = round(config.heldout_share * len(ranked))
    if config.heldout_share > 0:
        count = min(max(count, 1), len(ranked) - 1)
    return {piece: "heldout" if index < count else "train" for index, piece in enumerate(ranked)}


def write_piece(source: Path, target: Path, piece: str, config: DataConfig) -> tuple[int, float]:
    """Decode one recording into one Arrow stream file, complete or not at all. Returns its samples and its peak.

    Errors: audio.UnusableAudioError with the reason why the file cannot serve; OSError where the disk refuses.
    """
    partial = target.with_name(f".{target.name}.partial")
    num_samples, peak = 0, 0.0
    try:
        with pa.OSFile(str(partial), "wb") as sink, pa.ipc.new_stream(sink, SCHEMA) as writer:
            for row in _rows(audio.stream(source, config.sample_rate_hz, config.channels)):
                writer.write_batch(_row_batch(row, piece, num_samples, config))
                num_samples += len(row)
                peak = max(peak, float(np.abs(row).max()))
        _check_usable(num_samples, peak, config)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return num_samples, peak


def _check_usable(num_samples: int, peak: float, config: DataConfig) -> None:
    duration_s = num_samples / config.sample_rate_hz
    if num_samples == 0:
        raise audio.UnusableAudioError("holds no samples")
    if duration_s < config.min_duration_s:
        raise audio.UnusableAudioError(f"shorter than {config.min_duration_s:.4g} s")
    if peak < 10 ** (config.silence_peak_db / 20):
        raise audio.UnusableAudioError(f"silent: its peak is below {config.silence_peak_db:g} dBFS")


def _rows(blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Regroup decoded blocks (S, C) into rows of ROW_SAMPLES; the last is shorter."""
    pending: list[np.ndarray] = []
    held = 0
    for block in blocks:
        pending.append(block)
        held += len(block)
        while held >= ROW_SAMPLES:
            joined = np.concatenate(pending)
            yield joined[:ROW_SAMPLES]
            pending, held = [joined[ROW_SAMPLES:]], held - ROW_SAMPLES
    if held:
        yield np.concatenate(pending)


def _row_batch(row: np.ndarray, piece: str, start: int, config: DataConfig) -> pa.RecordBatch:
    scale = max(float(np.abs(row).max()), 1e-9) / 32767
    samples = np.rint(row / scale).astype(np.int16).reshape(-1)
    values = pa.ListArray.from_arrays(pa.array([0, len(samples)], pa.int32()), pa.array(samples))
    columns = [[piece], [start], [len(row)], [config.channels], [config.sample_rate_hz], [scale]]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=False)]
    return pa.record_batch([*arrays, values], schema=SCHEMA)


def _prepare_one(source: Path, relative: str, staging: Path, config: DataConfig) -> FileReport:
    """Worker: reuse the finished piece of an interrupted run, else decode. Never raises for a bad file."""
    piece = piece_name(relative)
    target, note = staging / f"{piece}.arrow", staging / f"{piece}.json"
    if note.exists() and target.exists():
        return FileReport(**json.loads(note.read_text()))
    try:
        num_samples, peak = write_piece(source, target, piece, config)
    except audio.UnusableAudioError as error:
        return FileReport(relative, piece, "skipped", str(error))
    report = FileReport(relative, piece, "kept", "", num_samples, peak)
    write_json(note, asdict(report))
    return report


def prepare(
    folder: Path, out: Path, config: DataConfig, workers: int, progress: Progress | None = None
) -> PrepareReport:
    """Prepare `folder` into the dataset `out`; the same call continues an interrupted one.

    `progress` is called with (files done, files in all) after every file. Errors: Mp3netError when `out` holds a
    finished or foreign dataset, or when no file is usable.
    """
    if folder.resolve() in (out.resolve(), *out.resolve().parents):
        raise Mp3netError(f"{out}: lies inside the folder of recordings {folder}; name an --out elsewhere")
    files = find_files(folder)
    if not files:
        raise Mp3netError(
            f"{folder}: holds no files. Looked, at any depth, for WAV, FLAC, OGG, Opus, MP3, M4A/AAC and AIFF"
        )
    staging = _open_staging(out, folder, config)
    try:
        reports = _decode_all(files, folder, staging, config, workers, progress)
        return _finish(out, staging, [reports[path] for path in files], config)
    except OSError as error:
        raise Mp3netError(f"{out}: cannot be written: {error}; mend that, then the same command goes on") from None
    except BrokenProcessPool:
        raise Mp3netError(
            "a decoding process died, perhaps of too little memory; the same command goes on, try --workers 1"
        ) from None


def _decode_all(
    files: list[Path], folder: Path, staging: Path, config: DataConfig, workers: int, progress: Progress | None
) -> dict[Path, FileReport]:
    reports: dict[Path, FileReport] = {}
    # Fresh processes: a forked one would inherit the locks of libraries that run threads.
    count = max(1, min(workers, len(files)))
    with ProcessPoolExecutor(count, get_context("spawn"), initializer=_set_up_worker) as pool:
        jobs = {pool.submit(_prepare_one, path, str(path.relative_to(folder)), staging, config): path for path in files}
        try:
            for job in as_completed(jobs):
                reports[jobs[job]] = job.result()
                if progress is not None:
                    progress(len(reports), len(files))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return reports


def _set_up_worker() -> None:
    # Ctrl-C reaches all processes of a terminal: the workers finish their file, the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Decoders in C remark on bad files there; what matters of it comes back as the reason in the report.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _open_staging(out: Path, folder: Path, config: DataConfig) -> Path:
    if (out / INDEX_FILE).exists():
        raise Mp3netError(f"{out}: already holds a finished dataset; name another --out, or delete it to prepare again")
    staging, plan = out / STAGING, out / STAGING / "plan.json"
    identity = {"folder": str(folder.resolve()), "config": config.model_dump()}
    if plan.exists():
        if read_json(plan) != identity:
            raise Mp3netError(
                f"{out}: holds an unfinished dataset of other settings or another folder; delete it first"
            )
    elif out.exists() and not out.is_dir():
        raise Mp3netError(f"{out}: is a file; name a folder")
    elif out.exists() and not {path.name for path in out.iterdir()} <= {STAGING, REPORT_FILE}:
        raise Mp3netError(f"{out}: is not empty and holds no dataset; name another --out")
    try:
        staging.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Mp3netError(f"{out}: cannot be created: {error.strerror}") from None
    write_json(plan, identity)
    return staging


def _finish(out: Path, staging: Path, files: list[FileReport], config: DataConfig) -> PrepareReport:
    """Move the pieces to their splits, then write `report.json` and, last, `dataset.json`: it marks completeness."""
    kept = [file for file in files if file.status == "kept"]
    splits = split_pieces([file.piece for file in kept], config)
    report = PrepareReport(files, splits, 0, config)
    if not kept:
        shutil.rmtree(staging)  # so that the next try may have other settings
        write_json(out / REPORT_FILE, _report_json(report))
        reasons = ", ".join(f"{reason} ({len(paths)})" for reason, paths in report.skipped_by_reason().items())
        raise Mp3netError(
            f"none of {len(files)} files is usable: {reasons}. Looked for WAV, FLAC, OGG, Opus, MP3, M4A/AAC and AIFF of at "
            f"least {config.min_duration_s:.4g} s; every file is in {out / REPORT_FILE}"
        )
    size = 0
    for split in SPLITS:
        (out / split).mkdir(exist_ok=True)
    wanted = {out / splits[file.piece] / f"{file.piece}.arrow" for file in kept}
    for split in SPLITS:  # an earlier call, stopped while moving, may have split another set of recordings
        for stale in set((out / split).glob("*.arrow")) - wanted:
            stale.unlink()
    for file in kept:
        target = out / splits[file.piece] / f"{file.piece}.arrow"
        if not target.exists():  # it exists when an earlier call was stopped in the middle of moving
            (staging / f"{file.piece}.arrow").replace(target)
        size += target.stat().st_size
    report = PrepareReport(files, splits, size, config)
    write_json(out / REPORT_FILE, _report_json(report))
    pieces = [
        {"piece": f.piece, "split": splits[f.piece], "source": f.path, "num_samples": f.num_samples, "peak": f.peak}
        for f in kept
    ]
    index = {"format_version": FORMAT_VERSION, "config": config.model_dump(), "size_bytes": size, "pieces": pieces}
    write_json(out / INDEX_FILE, index)
    for leftover in staging.iterdir():
        leftover.unlink()
    staging.rmdir()
    return report


def _report_json(report: PrepareReport) -> dict[str, Any]:
    return {
        "files": [asdict(file) for file in report.files],
        "kept": len(report.kept),
        "skipped": len(report.files) - len(report.kept),
        "size_bytes": report.size_bytes,
        "config": report.config.model_dump(),
    }


def read_index(folder: Path) -> tuple[DataConfig, list[dict[str, Any]]]:
    """Configuration and pieces of a finished dataset; Mp3netError where there is none."""
    path = folder / INDEX_FILE
    if not path.exists():
        unfinished = " (it holds an unfinished one: run `mp3net prepare` again)" if (folder / STAGING).exists() else ""
        raise Mp3netError(
            f"{folder}: holds no prepared dataset{unfinished}; make one with `mp3net prepare FOLDER --out {folder}`"
        )
    index = read_json(path)
    if not isinstance(index, dict) or index.get("format_version") != FORMAT_VERSION:
        raise Mp3netError(f"{path}: not a dataset of format {FORMAT_VERSION}; prepare it again with this version")
    config: DataConfig = parse_config(index.get("config"), str(path), DataConfig)
    return config, index["pieces"]
