"""From a recording to a piece on disk."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa

from mp3net.audio.decoding import UnusableAudioError
from mp3net.audio.reading import Stream
from mp3net.config import DataConfig
from mp3net.data.fingerprint import Fingerprinter, frame_at
from mp3net.data.inventory import STRICT
from mp3net.data.level import Levels, Outcome
from mp3net.data.pieces import ROW_SAMPLES, SCHEMA
from mp3net.files import replacing

SPOOL_BYTES = 64 << 20
"""Decoded audio is held in memory up to this size (6 minutes of 22 kHz stereo), beyond it on the disk of the dataset."""


@dataclass(frozen=True)
class WrittenPiece:
    """What the index and the curation need to know about a piece."""

    num_samples: int
    peak: float
    loudness_lufs: float | None
    trimmed_s: float
    first_row_offset: int
    row_bytes: int
    size_bytes: int
    words: np.ndarray
    missing_s: float
    damage: str


def write_piece(source: Path, target: Path, piece: str, config: DataConfig) -> WrittenPiece:
    """Decode one recording into one Arrow stream file, written atomically.

    It is decoded once into a spool, since mean, peak, silent ends and loudness are known only at the end. Memory does not
    grow with the length of the recording.
    Errors: UnusableAudioError with the reason why the file cannot be used; OSError if the write fails.
    """
    levels, prints = Levels(config), Fingerprinter(config.sample_rate_hz)
    with replacing(target) as unfinished, tempfile.SpooledTemporaryFile(SPOOL_BYTES, dir=str(target.parent)) as spool:
        stream = Stream(source, config.sample_rate_hz, config.channels, config.downmix)
        for block in stream:
            levels.add(block)
            prints.add(block)
            spool.write(np.ascontiguousarray(block, "<f4").data)
        outcome = levels.finish(config)
        _check_usable(outcome, stream, config)
        first_row_offset, row_bytes = _write_rows(unfinished, spool, piece, outcome, config)
    kept = outcome.end - outcome.begin
    return WrittenPiece(
        num_samples=kept,
        peak=outcome.peak * outcome.gain,
        loudness_lufs=outcome.loudness_lufs,
        trimmed_s=(levels.num_samples - kept) / config.sample_rate_hz,
        first_row_offset=first_row_offset,
        row_bytes=row_bytes,
        size_bytes=target.stat().st_size,
        words=prints.words()[frame_at(outcome.begin, config.sample_rate_hz) :],
        missing_s=stream.damage.missing_s,
        damage=str(stream.damage),
    )


def _check_usable(outcome: Outcome, stream: Stream, config: DataConfig) -> None:
    silence = 10 ** (config.silence_peak_db / 20)
    damage = str(stream.damage)
    if config.strict and damage:
        raise UnusableAudioError(f"{STRICT}: {damage}")
    duration_s = (outcome.end - outcome.begin) / config.sample_rate_hz
    if outcome.end == 0:
        raise UnusableAudioError("holds no samples")
    if outcome.peak < silence <= stream.source_swing and config.channels == 1:
        raise UnusableAudioError(
            "silent in mono: left and right are opposite (in antiphase) and cancel each other; invert one of them in an "
            "audio editor, or choose a stereo preset (--channels 2)"
        )
    if outcome.peak < silence:
        raise UnusableAudioError(f"silent: its peak is below {config.silence_peak_db:g} dBFS")
    if duration_s < config.min_duration_s:
        raise UnusableAudioError(f"shorter than {config.min_duration_s:.4g} s")


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
