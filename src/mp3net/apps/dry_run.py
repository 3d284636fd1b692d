"""`mp3net prepare --dry-run`: what preparation would take and give, as far as headers tell."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from mp3net.apps import enough
from mp3net.apps.console import plain_console
from mp3net.config import DataConfig
from mp3net.data.index import INDEX_FILE, STAGING
from mp3net.data.inventory import SPLITS, printable, some
from mp3net.data.isolation import IsolatedPool
from mp3net.data.preparation import not_yet
from mp3net.data.recordings import LOOKED_FOR, Recordings, Shard, piece_name, split_pieces
from mp3net.data.staging import check_place
from mp3net.data.surveying import Survey, Surveyed, survey
from mp3net.errors import Mp3netError
from mp3net.words import counted, duration, size


def dry_run(
    recordings: Recordings,
    out: Path,
    config: DataConfig,
    workers: int,
    shard: Shard | None = None,
    preset: str | None = None,
) -> None:
    """Say what preparation, or that part of it, would take; writes nothing."""
    check_place(out, recordings, config)
    wanted = recordings if shard is None else recordings.only(shard)
    recordings = not_yet(wanted, out, config)
    with IsolatedPool(workers) as pool:
        found = survey(recordings, out, config, pool)
    usable = [file for file in found.files if not file.reason]
    there = len(wanted.paths) - len(recordings.paths)
    reasons = _reasons(found, recordings)
    if not usable and not there and shard is None:
        seen = ", ".join(f"{reason} ({len(paths)})" for reason, paths in sorted(reasons.items()))
        raise Mp3netError(
            f"{recordings.folder}: no audio in {counted(len(found.files), 'file')}: {printable(seen)}; looked for "
            f"{LOOKED_FOR}"
        )
    console = plain_console()
    console.print(_table(out, there, usable, reasons))
    if there and not usable:
        finished = (out / INDEX_FILE).exists() and not (out / STAGING).exists()
        left = "nothing to do" if finished else "all is decoded, and the same command without --dry-run finishes the dataset"
        console.print(f"{left}. Nothing was written", soft_wrap=True)
        return
    if not there and shard is None:
        for line in enough.warnings(_foreseen(usable, recordings, config, preset), bool(recordings.splits)):
            console.print(line, soft_wrap=True)
    disk = f"{size(found.need_bytes)} at most while preparing, {size(found.free_bytes)} are free"
    if found.need_bytes > found.free_bytes:
        raise Mp3netError(f"{out}: {disk}; free space or name an --out on another disk")
    part = f"shard {shard.number}/{shard.count} alone; " if shard is not None else ""
    console.print(f"{part}disk: {disk} in {out}: enough. Nothing was written", soft_wrap=True)


def _reasons(found: Survey, recordings: Recordings) -> dict[str, list[str]]:
    """Why files will be skipped -> their paths."""
    reasons: dict[str, list[str]] = {}
    skipped = [(file.path, file.reason) for file in found.files if file.reason]
    for path, reason in [*skipped, *recordings.unread.items()]:
        reasons.setdefault(reason, []).append(path)
    return reasons


def _table(out: Path, there: int, usable: list[Surveyed], reasons: dict[str, list[str]]) -> Table:
    table = Table("files", "number", "what")
    if there:
        table.add_row(f"in {printable(str(out))} already", str(there), "")
    if usable or not there:
        usable_s = sum(file.duration_s for file in usable)
        table.add_row("readable header", str(len(usable)), f"{duration(usable_s)} as their headers say")
    for reason, paths in sorted(reasons.items()):
        table.add_row(f"skipped: {printable(reason)}", str(len(paths)), some(paths))
    return table


def _foreseen(usable: list[Surveyed], recordings: Recordings, config: DataConfig, preset: str | None) -> enough.Amount:
    """The pieces that these files will give if none is a copy or a relative of another."""
    samples = {piece_name(file.path): round(file.duration_s * config.sample_rate_hz) for file in usable}
    splits = split_pieces(dict.fromkeys(samples, ""), config.heldout_share, config.split_seed)
    splits |= {piece_name(path): split for path, split in recordings.splits.items()}
    pieces = {split: [samples[piece] for piece in samples if splits[piece] == split] for split in SPLITS}
    return enough.Amount(pieces["train"], pieces["heldout"], config, preset)
