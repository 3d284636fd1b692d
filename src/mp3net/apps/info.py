"""`mp3net info`: what a folder holds, or which presets there are."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table

from mp3net.config import PRESETS
from mp3net.data.prepare import INDEX_FILE, STAGING, read_index
from mp3net.data.report import SPLITS
from mp3net.errors import Mp3netError


def run(path: Path | None) -> None:
    """Print one description; Mp3netError where the folder holds nothing of ours."""
    if path is None:
        Console().print(_presets())
    elif (path / INDEX_FILE).exists() or (path / STAGING).exists():
        _dataset(path)
    else:
        _snapshot(path)


def _presets() -> Table:
    table = Table(Column("preset", no_wrap=True), "audio", "bins x frames", "track", "family", "networks", "batch")
    for name, config in PRESETS.items():
        audio, model = config.audio, config.model
        table.add_row(
            name,
            f"{audio.sample_rate_hz} Hz {'stereo' if audio.channels == 2 else 'mono'}",
            f"{audio.num_bins} x {model.num_frames}",
            f"{config.track_duration_s:.2f} s",
            model.kind,
            model.sizes,
            str(config.optimiser.batch_size),
        )
    return table


def _dataset(path: Path) -> None:
    config, pieces = read_index(path)
    print(f"dataset {path}: {config.sample_rate_hz} Hz, {config.channels} channel(s)")
    for split in SPLITS:
        lengths = [piece["num_samples"] / config.sample_rate_hz for piece in pieces if piece["split"] == split]
        print(f"{split}: {len(lengths)} pieces, {sum(lengths) / 3600:.2f} h, longest {max(lengths, default=0):.1f} s")


def _snapshot(path: Path) -> None:
    from mp3net.model.snapshot import open_snapshot

    if not path.is_dir():
        raise Mp3netError(
            f"{path}: no such folder; name a snapshot, a run directory or a dataset, or nothing for the presets"
        )
    snapshot = open_snapshot(path)
    print(f"snapshot {snapshot.folder}, weights {snapshot.digest}")
    print(json.dumps({"metadata": snapshot.metadata, "config": snapshot.config.model_dump()}, indent=1))
