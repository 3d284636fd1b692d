"""The index of a prepared dataset: what it holds, and for which preset it was made. Written last, it marks completion."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from mp3net.config import DataConfig, parse_config
from mp3net.data.inventory import REPORT_FILE
from mp3net.errors import Mp3netError
from mp3net.files import read_json

FORMAT_VERSION = 2
INDEX_FILE = "dataset.json"
STAGING = "pieces.partial"
"""Where an unfinished preparation keeps its pieces."""

Entry = dict[str, Any]
"""One piece: piece, split, source, num_samples, peak, first_row_offset, row_bytes, size_bytes."""


@dataclass(frozen=True)
class Index:
    """`preset` is the one that the recordings were prepared for, if one was named."""

    config: DataConfig
    entries: list[Entry]
    preset: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "format_version": FORMAT_VERSION,
            "preset": self.preset,
            "config": self.config.model_dump(),
            "size_bytes": sum(entry["size_bytes"] for entry in self.entries),
            "pieces": self.entries,
        }


def read_index(folder: Path) -> Index:
    """The index of a finished dataset; Mp3netError if there is none."""
    path = folder / INDEX_FILE
    if folder.is_file():
        raise Mp3netError(f"{folder}: is a file; name the folder of a dataset, made by `mp3net prepare`")
    if not path.exists():
        if (folder / STAGING).exists():
            raise Mp3netError(
                f"{folder}: holds an unfinished dataset; `mp3net info {quote(str(folder))}` prints the command that goes on"
            )
        # A folder that `prepare` has not written to most likely holds recordings, and a dataset must not lie among those.
        elsewhere = Path("data") / folder.resolve().name
        recordings = folder.is_dir() and not (folder / REPORT_FILE).exists()
        usual = not recordings or elsewhere.resolve() == folder.resolve()
        way = f"FOLDER --out {quote(str(folder))}" if usual else f"{quote(str(folder))} --out {quote(str(elsewhere))}"
        what = "holds no prepared dataset;" if folder.exists() else "no such folder; if you have no dataset yet,"
        raise Mp3netError(f"{folder}: {what} make one with `mp3net prepare {way}`")
    return parse_index(read_json(path), str(path))


def parse_index(index: Any, source: str) -> Index:
    """The index in the JSON data from `source`. Errors: Mp3netError for another format."""
    if not isinstance(index, dict) or index.get("format_version") != FORMAT_VERSION:
        raise Mp3netError(f"{source}: not a dataset of format {FORMAT_VERSION}; prepare it again with this version")
    config: DataConfig = parse_config(index.get("config"), source, DataConfig)
    return Index(config, index["pieces"], index.get("preset"))
