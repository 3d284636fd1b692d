"""What `mp3net generate` is asked for: seeds, durations, and the file of each song."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from mp3net.audio.encoding import FORMATS
from mp3net.errors import Mp3netError
from mp3net.files import check_writable, existing_part
from mp3net.generation import MAX_SEED, SongSettings, format_called
from mp3net.words import counted

# Bytes that a sample takes at most.
SAMPLE_BYTES = {"wav": 2, "flac": 2, "ogg": 0.5, "mp3": 0.5}
UNITS_S = {"": 1.0, "s": 1.0, "sec": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}
MOST_SONGS = 100_000


def parse_seeds(text: str, option: str = "--seed") -> list[int]:
    """ "7" -> [7], "1..3" -> [1, 2, 3], "1,5" -> [1, 5]; Mp3netError for anything else."""
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,19})(?:\s*\.\.\s*(\d{1,19}))?\s*", part)
        first = int(match[1]) if match else 0
        last = int(match[2]) if match and match[2] else first
        if match is None or last < first or last > MAX_SEED:
            raise Mp3netError(
                f"{option} {text!r}: give a number from 0 to {MAX_SEED}, a range such as 1..8, or a list such as 1,5,9"
            )
        if last - first >= MOST_SONGS:
            raise Mp3netError(f"{option} {text!r}: at most {MOST_SONGS:,} songs at a time")
        seeds += range(first, last + 1)
    return list(dict.fromkeys(seeds))


def parse_duration(text: str) -> float:
    """Seconds: "20", "20s", "1.5min", "1h" or "1:30"; Mp3netError for anything else."""
    number = r"(\d{1,9}(?:\.\d{1,9})?)"
    if clock := re.fullmatch(r"\s*(?:(\d{1,4}):(?=[0-5]?\d:))?(\d{1,4}):([0-5]?\d(?:\.\d{1,9})?)\s*", text):
        return 3600.0 * int(clock[1] or 0) + 60.0 * int(clock[2]) + float(clock[3])
    match = re.fullmatch(rf"\s*{number}\s*([a-z]*)\s*", text)
    if match is None or match[2] not in UNITS_S:
        raise Mp3netError(f"--duration {text!r}: give seconds, or a time such as 90s, 10min, 1h or 1:30")
    return float(match[1]) * UNITS_S[match[2]]


def parse_slides(texts: Sequence[str]) -> dict[str, float]:
    """["brightness=1.5"] -> sliders and their units; Mp3netError for anything else, or a slider that is given twice."""
    found: dict[str, float] = {}
    for text in texts:
        name, _, amount = (part.strip() for part in text.partition("="))
        try:
            units = float(amount)
        except ValueError:
            raise Mp3netError(f"--slide {text!r}: give a slider and its units, such as register=1.5 or level=-1") from None
        if name in found:
            raise Mp3netError(f"--slide {text!r}: there is also --slide {name}={found[name]:g}; leave one of them out")
        found[name] = units
    return found


def known_format(name: str | None) -> str | None:
    """`--format` under its usual name. Errors: Mp3netError for a format that cannot be written."""
    chosen = format_called(name) if name is not None else None
    if chosen is not None and chosen not in FORMATS:
        raise Mp3netError(f"--format {name!r}: choose one of {', '.join(FORMATS)}")
    return chosen


def plan_targets(songs: Sequence[SongSettings], out: Path | None, audio_format: str | None) -> list[Path]:
    """The file of each song. `out` names one file if it has the ending of a format, otherwise a folder."""
    chosen = known_format(audio_format)
    ending = out.suffix[1:].lower() if out is not None else ""
    if format_called(ending) in FORMATS and out is not None and not out.is_dir():
        if len(songs) > 1:
            raise Mp3netError(f"--out {out} names one file, but there are {len(songs)} songs; name a folder")
        if chosen not in (None, format_called(ending)):
            raise Mp3netError(f"--out {out} ends in .{ending}, but --format is {audio_format}; leave one of them out")
        return [out]
    if out is not None and out.exists() and not out.is_dir():
        raise Mp3netError(f"--out {out}: is no folder, and its name has no ending of a format: {', '.join(FORMATS)}")
    # Folders have endings too, but not of a few letters.
    if out is not None and re.fullmatch("[a-z]{2,4}[0-9]?|[a-z][0-9][a-z]", ending) and not out.is_dir():
        raise Mp3netError(
            f"--out {out}: cannot write .{ending}; the formats are: {', '.join(FORMATS)}; if it is to be a folder, "
            "make it first"
        )
    ending = chosen or "wav"
    if out is None and len(songs) == 1:
        return [Path(f"song.{ending}")]
    folder = out if out is not None else Path("songs")
    several = len({song.variation for song in songs}) > 1
    return [
        folder / (f"seed-{song.seed}" + (f"-variation-{song.variation}" if several else "") + f".{ending}") for song in songs
    ]


def check_files(targets: Sequence[Path], force: bool) -> None:
    """Errors: Mp3netError if files exist that may not be replaced, or their folders cannot be written to."""
    for folder in dict.fromkeys(path.parent for path in targets):
        check_writable(folder)
    for path in targets:
        try:
            str(path).encode()
        except UnicodeEncodeError:
            raise Mp3netError(f"--out {str(path)!a}: is no text in UTF-8; choose another name") from None
    existing = [str(path) for path in targets if path.exists()]
    if existing and not force:
        more = f" and {len(existing) - 3} more" if len(existing) > 3 else ""
        raise Mp3netError(f"{', '.join(existing[:3])}{more}: exists; add --force to overwrite, or name another --out")


def check_space(targets: Sequence[Path], samples: int, kept: bool) -> None:
    """Errors: Mp3netError if so many songs of so many samples (all channels) do not fit on the disk. `kept`: one at a time
    is also kept there, as float32, while it is made."""
    ending = format_called(targets[0].suffix[1:])
    needed = int(len(targets) * samples * SAMPLE_BYTES[ending]) + (4 * samples if kept else 0)
    disk = shutil.disk_usage(existing_part(targets[0]))
    if needed > disk.free and disk.total:
        smaller = "" if ending in ("ogg", "mp3") else "choose --format ogg, "
        raise Mp3netError(
            f"{targets[0].parent}: {counted(len(targets), 'song')} may take {needed / 1e6:,.3g} MB as {ending}, and "
            f"{disk.free / 1e6:,.3g} MB are free; make fewer or shorter ones, {smaller}or name another --out"
        )
