"""One recording on disk: an Arrow stream file whose rows hold a few seconds each.

Samples are 16-bit, scaled to their row's own peak, so quiet passages keep their resolution. All rows but the last have one
length, hence so have their messages in the file: where a row lies follows from three numbers of the index, and a reader
over a network asks for exactly the rows of its crop.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa

from mp3net import audio
from mp3net.config import DataConfig
from mp3net.data.fingerprint import Fingerprinter
from mp3net.data.level import Levels, Outcome
from mp3net.errors import Mp3netError

ROW_SAMPLES = 1 << 16
SPOOL_BYTES = 64 << 20
"""Decoded audio waits in memory up to this size, beyond it on the disk of the dataset: 6 minutes of 22 kHz stereo."""
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
class WrittenPiece:
    """What the index needs to know of a piece, and what the curation does."""

    num_samples: int
    peak: float
    loudness_lufs: float | None
    trimmed_s: float
    first_row_offset: int
    row_bytes: int
    size_bytes: int
    words: np.ndarray


def write_piece(source: Path, target: Path, piece: str, config: DataConfig) -> WrittenPiece:
    """Decode one recording into one Arrow stream file, complete or not at all.

    Decoded once into a spool, since mean, peak, silent ends and loudness are known at the end only. Memory does not grow
    with the length of the recording.
    Errors: audio.UnusableAudioError with the reason why the file cannot serve; OSError where the disk refuses.
    """
    partial = target.with_name(f".{target.name}.partial")
    levels, prints = Levels(config), Fingerprinter(config.sample_rate_hz)
    try:
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES, dir=str(target.parent)) as spool:
            for block in audio.stream(source, config.sample_rate_hz, config.channels):
                levels.add(block)
                prints.add(block)
                spool.write(np.ascontiguousarray(block, "<f4").data)
            outcome = levels.finish(config)
            _check_usable(outcome, config)
            first_row_offset, row_bytes = _write_rows(partial, spool, piece, outcome, config)
        size = partial.stat().st_size
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    kept = outcome.end - outcome.begin
    return WrittenPiece(
        kept, outcome.peak * outcome.gain, outcome.loudness_lufs, (levels.num_samples - kept) / config.sample_rate_hz,
        first_row_offset, row_bytes, size, prints.words(),
    )  # fmt: skip


def _check_usable(outcome: Outcome, config: DataConfig) -> None:
    duration_s = (outcome.end - outcome.begin) / config.sample_rate_hz
    if outcome.end == 0:
        raise audio.UnusableAudioError("holds no samples")
    if outcome.peak < 10 ** (config.silence_peak_db / 20):
        raise audio.UnusableAudioError(f"silent: its peak is below {config.silence_peak_db:g} dBFS")
    if duration_s < config.min_duration_s:
        raise audio.UnusableAudioError(f"shorter than {config.min_duration_s:.4g} s")


def _write_rows(path: Path, spool: IO[bytes], piece: str, outcome: Outcome, config: DataConfig) -> tuple[int, int]:
    """Offset of the first row and bytes per full row."""
    places = [SCHEMA.serialize().size]  # the stream begins with it
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, SCHEMA) as writer:
        for start, row in _rows(spool, outcome, config.channels):
            writer.write_batch(_row_batch(row, piece, start, config))
            places.append(sink.tell())
    row_bytes = places[1] - places[0]
    if any(after - before != row_bytes for before, after in pairwise(places[:-1])):
        raise RuntimeError(f"{path}: rows of unequal size; the format relies on them")  # a change in Arrow's writer
    return places[0], row_bytes


def _rows(spool: IO[bytes], outcome: Outcome, channels: int) -> Iterator[tuple[int, np.ndarray]]:
    frame_bytes = 4 * channels
    spool.seek(outcome.begin * frame_bytes)
    for start in range(0, outcome.end - outcome.begin, ROW_SAMPLES):
        count = min(ROW_SAMPLES, outcome.end - outcome.begin - start)
        row = np.frombuffer(spool.read(count * frame_bytes), "<f4").reshape(count, channels)
        yield start, (row - outcome.offset) * np.float32(outcome.gain)


def _row_batch(row: np.ndarray, piece: str, start: int, config: DataConfig) -> pa.RecordBatch:
    scale = max(float(np.abs(row).max()), 1e-9) / 32767
    samples = np.rint(row / scale).astype(np.int16).reshape(-1)
    values = pa.ListArray.from_arrays(pa.array([0, len(samples)], pa.int32()), pa.array(samples))
    columns = [[piece], [start], [len(row)], [config.channels], [config.sample_rate_hz], [scale]]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=False)]
    return pa.record_batch([*arrays, values], schema=SCHEMA)


def row_samples(batch: pa.RecordBatch) -> np.ndarray:
    """The audio of one row as float32 (S, C)."""
    scale = np.float32(batch.column("scale")[0].as_py())
    values = batch.column("audio").values.to_numpy(zero_copy_only=True)
    samples: np.ndarray = np.multiply(values, scale, dtype=np.float32)
    return samples.reshape(-1, batch.column("channels")[0].as_py())


class Piece:
    """One recording on the local disk, memory-mapped."""

    def __init__(self, path: Path) -> None:
        try:
            table = pa.ipc.open_stream(pa.memory_map(str(path))).read_all()
        except (OSError, pa.ArrowInvalid) as error:
            raise Mp3netError(
                f"{path}: cannot be read as an Arrow stream: {error}; prepare the dataset again"
            ) from None
        self.channels = table.column("channels")[0].as_py()
        self.rows = [chunk.flatten().to_numpy(zero_copy_only=True).reshape(-1, self.channels)
                     for chunk in table.column("audio").chunks]  # fmt: skip
        self.scales = np.asarray(table.column("scale"), np.float32)
        self.num_samples = sum(map(len, self.rows))

    def read(self, start: int, count: int) -> np.ndarray:
        """Samples [start, start + count) as float32 (C, count)."""
        out = np.empty((count, self.channels), np.float32)
        row, offset = divmod(start, ROW_SAMPLES)
        filled = 0
        while filled < count:
            part = self.rows[row][offset : offset + count - filled]
            np.multiply(part, self.scales[row], out=out[filled : filled + len(part)])
            filled, row, offset = filled + len(part), row + 1, 0
        return np.ascontiguousarray(out.T)


Entry = dict[str, Any]
"""One piece in `dataset.json`: piece, split, source, num_samples, peak, first_row_offset, row_bytes, size_bytes."""
