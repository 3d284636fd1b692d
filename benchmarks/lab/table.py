"""The table of results: one row for each recipe, seed and number of tracks. Rows are only ever added."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mp3net.errors import Mp3netError
from mp3net.files import write_text
from mp3net.locks import Lock

FOLDER = Path(__file__).parent
TABLE = "results.csv"
COST_FILE = "cost.jsonl"  # in each run directory: the processor time of its training
KEYS = ("recipe", "seed", "tracks_seen")
FACTS = ("digest", "code", "precision", "core_minutes", "petaflop", "ended")
READINGS = (
    "kernel_logmel", "coverage_logmel", "frechet_logmel", "kernel_notes", "coverage_notes", "level_error_db",
    "octave_flatness", "octave_flatness_spread", "confident_share", "notes_per_s", "polyphony", "checkerboard_db",
)  # fmt: skip
WAIT_S = 60.0

Row = dict[str, Any]


def rows_of(path: Path) -> list[Row]:
    """The rows of a table, numbers as numbers; empty fields as None."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: _value(name, text) for name, text in row.items()} for row in csv.DictReader(file)]


def _value(name: str, text: str) -> Any:
    if name in ("seed", "tracks_seen"):
        return int(text)
    if name in READINGS or name in ("core_minutes", "petaflop"):
        return float(text) if text else None
    return text


def add(path: Path, row: Row) -> None:
    """Add one row; the file is replaced as a whole, and processes take turns. Errors: Mp3netError if the row is there."""
    with Lock(path.parent, "the lab", f".{path.name}.lock").acquire(WAIT_S):
        rows = rows_of(path)
        if any(all(old[key] == row[key] for key in KEYS) for old in rows):
            raise Mp3netError(f"{path}: has a row of {', '.join(str(row[key]) for key in KEYS)} already")
        text = io.StringIO()
        writer = csv.DictWriter(text, [*KEYS, *FACTS, *READINGS], lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _text(value) for name, value in old.items()} for old in [*rows, row])
        write_text(path, text.getvalue())


def _text(value: Any) -> str:
    return "" if value is None else f"{value:.5g}" if isinstance(value, float) else str(value)


def found(rows: Sequence[Row], recipe: str, seed: int) -> dict[int, Row]:
    """The rows of one run, by tracks seen."""
    return {row["tracks_seen"]: row for row in rows if (row["recipe"], row["seed"]) == (recipe, seed)}
