"""A prepared dataset as Parquet files: smaller, and readable by most data tools."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mp3net.data.index import Entry, read_index
from mp3net.data.inventory import CARD_FILE, SPLITS
from mp3net.data.pieces import SCHEMA
from mp3net.errors import Mp3netError
from mp3net.files import replacing, write_text

SHARD_BYTES = 500 << 20
"""Audio per file before compression: what the hub recommends for quick previews and parallel downloads."""
ROWS_PER_GROUP = 64


def export_parquet(
    folder: Path, out: Path, progress: Callable[[int, int], None] | None = None, shard_bytes: int = SHARD_BYTES
) -> list[Path]:
    """Write SPLIT-00000-of-00003.parquet files and the card; the columns are those of the Arrow files.

    Errors: Mp3netError if `out` already holds something or cannot be written.
    """
    entries = read_index(folder).entries
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise Mp3netError(f"{out}: is not an empty folder; name another --out")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with replacing(out) as unfinished:
            unfinished.mkdir()
            names = _write_splits(folder, unfinished, entries, progress, shard_bytes)
            card = (folder / CARD_FILE).read_text(encoding="utf-8")
            write_text(unfinished / CARD_FILE, _parquet_card(card))
    except OSError as error:
        raise Mp3netError(f"{out}: cannot be written: {error}") from None
    return [out / name for name in names]


def _write_splits(
    folder: Path, out: Path, entries: list[Entry], progress: Callable[[int, int], None] | None, shard_bytes: int
) -> list[str]:
    """Names of the Parquet files written into `out`."""
    names: list[str] = []
    done = 0
    for split in SPLITS:
        parts = list(_parts([entry for entry in entries if entry["split"] == split], shard_bytes))
        for number, part in enumerate(parts):
            names.append(f"{split}-{number:05}-of-{len(parts):05}.parquet")
            with pq.ParquetWriter(out / names[-1], SCHEMA, compression="zstd") as writer:
                for batches in _groups(folder, part):
                    writer.write_table(pa.Table.from_batches(batches), row_group_size=ROWS_PER_GROUP)
            done += len(part)
            if progress is not None:
                progress(done, len(entries))
    return names


def _parts(entries: list[Entry], shard_bytes: int) -> Iterator[list[Entry]]:
    part: list[Entry] = []
    size = 0
    for entry in entries:
        if part and size + entry["size_bytes"] > shard_bytes:
            yield part
            part, size = [], 0
        part.append(entry)
        size += entry["size_bytes"]
    if part:
        yield part


def _groups(folder: Path, entries: list[Entry]) -> Iterator[list[pa.RecordBatch]]:
    group: list[pa.RecordBatch] = []
    for entry in entries:
        path = folder / entry["split"] / f"{entry['piece']}.arrow"
        try:
            with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as rows:
                for row in rows:
                    group.append(row)
                    if len(group) == ROWS_PER_GROUP:
                        yield group
                        group = []
        except pa.ArrowInvalid as error:
            raise Mp3netError(f"{path}: cannot be read: {error}; prepare the dataset again") from None
    if group:
        yield group


def _parquet_card(card: str) -> str:
    for split in SPLITS:
        card = card.replace(f"path: {split}/*.arrow", f"path: {split}-*.parquet")
    return card
