"""What became of every file, for people (table, card) and for programs (JSON, CSV)."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from mp3net.config import DataConfig
from mp3net.errors import Mp3netError
from mp3net.files import read_json, write_json, write_text
from mp3net.words import counted, mono_or_stereo

SPLITS = ("train", "heldout")
SHOWN_PATHS = 3
# What the table says about a file that is not audio; the rest is unknown, not zero.
_WITHOUT_AUDIO = ("split", "path", "piece", "status", "reason")
STRICT = "--strict: music is missing or damaged"
"""The beginning of the reason why such files were left out; what is missing follows, in words of each file's own."""
REPORT_FILE, TABLE_FILE, CARD_FILE = "report.json", "report.csv", "README.md"


@dataclass(frozen=True)
class FileReport:
    """What became of one file. `path` is relative to the folder of recordings; levels are those of the piece."""

    path: str
    piece: str
    status: str  # "kept", "duplicate" or "skipped"
    reason: str = ""
    missing_s: float = 0.0
    damage: str = ""  # what is missing of a kept recording, where and why; empty below 1 % and 2 s
    duplicate_of: str = ""
    group: str = ""  # shared by recordings that sound alike; all of them go to the same split
    format: str = ""
    lossless: bool = False
    source_rate_hz: int = 0
    source_channels: int = 0
    num_samples: int = 0
    trimmed_s: float = 0.0
    peak: float = 0.0
    loudness_lufs: float | None = None
    first_row_offset: int = 0
    row_bytes: int = 0
    size_bytes: int = 0
    source_bytes: int = 0


@dataclass(frozen=True)
class Provenance:
    """What the user says about the recordings, for the dataset card."""

    title: str = "Music recordings"
    source: str = ""
    licence: str = ""


@dataclass(frozen=True)
class PrepareReport:
    """The outcome of `prepare`. `splits` gives "train" or "heldout" for each kept piece; empty for a shard. `added` are the
    paths that were added to a finished dataset; None if it is new."""

    files: list[FileReport]
    splits: dict[str, str]
    config: DataConfig
    provenance: Provenance = field(default_factory=Provenance)
    folder: str = ""
    added: list[str] | None = None

    @property
    def kept(self) -> list[FileReport]:
        return [file for file in self.files if file.status == "kept"]

    @property
    def damaged(self) -> list[FileReport]:
        """The kept recordings of which music is missing."""
        return [file for file in self.kept if file.damage]

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.kept)

    def hours(self, split: str) -> float:
        samples = sum(file.num_samples for file in self.kept if self.splits.get(file.piece) == split)
        return samples / self.config.sample_rate_hz / 3600

    def dropped_by_reason(self) -> dict[str, list[str]]:
        """Reason -> paths; all duplicates under one reason."""
        reasons: dict[str, list[str]] = {}
        for file in self.files:
            if file.status == "duplicate":
                reasons.setdefault("duplicate: the same audio as another file", []).append(file.path)
            elif file.status == "skipped":
                reason = STRICT if file.reason.startswith(STRICT) else file.reason
                reasons.setdefault(f"skipped: {reason}", []).append(file.path)
        return reasons


def printable(text: str) -> str:
    """`text` with what terminals and UTF-8 files cannot hold escaped: control characters and invalid UTF-8."""
    shown = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in shown)


def some(paths: list[str]) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(paths) - SHOWN_PATHS} more" if len(paths) > SHOWN_PATHS else ""
    return ", ".join(printable(path) for path in paths[:SHOWN_PATHS]) + more


def write_reports(out: Path, report: PrepareReport) -> None:
    """`report.json` and `report.csv`."""
    counts = {status: sum(f.status == status for f in report.files) for status in ("kept", "duplicate", "skipped")}
    files = [asdict(file) | {"split": report.splits.get(file.piece, "")} for file in report.files]
    facts = {"folder": report.folder, "size_bytes": report.size_bytes, "config": report.config.model_dump(), "files": files}
    write_json(out / REPORT_FILE, counts | facts)
    table = io.StringIO()
    writer = csv.DictWriter(table, ["split", "length_s", *(item.name for item in fields(FileReport))], lineterminator="\n")
    writer.writeheader()
    for row in files:
        known = row if row["format"] else {key: value for key, value in row.items() if key in _WITHOUT_AUDIO}
        known = {key: round(value, 4) if isinstance(value, float) else value for key, value in known.items()}
        if known.get("num_samples"):
            known["length_s"] = round(known["num_samples"] / report.config.sample_rate_hz, 2)
        writer.writerow(known | {"path": printable(row["path"]), "duplicate_of": printable(row["duplicate_of"])})
    write_text(out / TABLE_FILE, table.getvalue())


def stored_reports(out: Path) -> list[FileReport]:
    """What `report.json` says about every file. Errors: Mp3netError if it is not there or not of this version."""
    content, known = read_json(out / REPORT_FILE), {item.name for item in fields(FileReport)}
    try:
        return [FileReport(**{name: value for name, value in file.items() if name in known}) for file in content["files"]]
    except (KeyError, TypeError, AttributeError):
        raise Mp3netError(f"{out / REPORT_FILE}: not a report of this version; prepare into another --out") from None


def write_card(out: Path, report: PrepareReport) -> None:
    """The dataset card in the format of the Hugging Face hub: a header for programs, prose for people."""
    write_text(out / CARD_FILE, _header(report) + "\n" + _prose(report))


def _header(report: PrepareReport) -> str:
    filled = [split for split in SPLITS if report.hours(split) > 0]
    lines = ["---", "pretty_name: " + json.dumps(report.provenance.title, ensure_ascii=False)]
    if report.provenance.licence:
        lines.append("license: " + json.dumps(report.provenance.licence.lower()))
    lines += ["tags:", "- audio", "- music", "- mp3net", "configs:", "- config_name: default", "  data_files:"]
    for split in filled:
        lines += [f"  - split: {split}", f"    path: {split}/*.arrow"]
    return "\n".join([*lines, "---", ""])


def _prose(report: PrepareReport) -> str:
    config, provenance = report.config, report.provenance
    unknown = "not stated"
    rows = [
        f"| {split} | {sum(value == split for value in report.splits.values())} | {report.hours(split):.2f} |"
        for split in SPLITS
    ]
    left_out = sorted(report.dropped_by_reason().items())
    dropped = [f"- {printable(reason)}: {counted(len(paths), 'file')}" for reason, paths in left_out]
    level = {"peak": "every recording to a peak of 0.999", "loudness": f"every recording to {config.loudness_lufs:g} LUFS",
             "original": "as recorded"}[config.level]  # fmt: skip
    return "\n".join(
        [
            f"# {provenance.title}",
            "",
            f"Recordings prepared with [mp3net](https://arxiv.org/abs/2101.04785): {config.sample_rate_hz} Hz, "
            f"{mono_or_stereo(config.channels)}, level: {level}.",
            "",
            f"- Source: {provenance.source or unknown}",
            f"- Licence: {provenance.licence or unknown}",
            "",
            "| split | recordings | hours |",
            "|---|---|---|",
            *rows,
            "",
            *_damage_lines(report),
            "Left out:" if dropped else "Nothing was left out.",
            *([""] if dropped else []),
            *dropped,
            "",
            f"`{TABLE_FILE}` lists every file. Rows hold a few seconds of one recording: `audio` (interleaved int16) times "
            "`scale` gives samples in [-1, 1], `start_sample` is where they belong.",
            "",
        ]
    )


def _damage_lines(report: PrepareReport) -> list[str]:
    if not report.damaged:
        return []
    lines = [f"- {printable(file.path)}: {file.damage}" for file in report.damaged]
    return ["Kept although music is missing:", "", *lines, ""]


def index_entry(file: FileReport, split: str) -> dict[str, Any]:
    """The entry of a piece in `dataset.json`."""
    return {
        "piece": file.piece, "split": split, "source": file.path, "num_samples": file.num_samples, "peak": file.peak,
        "first_row_offset": file.first_row_offset, "row_bytes": file.row_bytes, "size_bytes": file.size_bytes,
    }  # fmt: skip
