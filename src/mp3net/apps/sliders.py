"""`mp3net sliders`: find them, measure them, keep them beside the weights."""

from __future__ import annotations

import shlex
from pathlib import Path

from rich.table import Table

from mp3net.apps.console import plain_console
from mp3net.apps.waiting import Waiting
from mp3net.evaluation.attributes import UNITS
from mp3net.evaluation.directions import Found, find_sliders, save_sliders
from mp3net.generation import MP3net


def run(snapshot: Path | None, songs: int) -> None:
    """Print a table of what one unit of each slider does."""
    model = MP3net.from_pretrained(snapshot)
    found = find_sliders(model, songs, Waiting("songs heard", "songs/s"))
    path = save_sliders(found, model)
    plain_console().print(_table(found))
    for name, why in found.left_out.items():
        print(f"no slider for {name}: {why}")
    assert model.snapshot is not None
    if (folder := model.snapshot.run) is not None:
        print(
            f"the sliders belong to the latest checkpoint of {folder} alone: when the run goes on, find them anew, or keep "
            f"a copy of {path.parent} and play that"
        )
    if found.sliders:
        command = ["mp3net", "generate", *([str(snapshot)] if snapshot else []), "--slide", f"{found.sliders[0].name}=1"]
        print(f"{path}; next: {shlex.join(command)}")


def _table(found: Found) -> Table:
    table = Table("one unit of", *(f"{name}, {unit}" for name, unit in UNITS.items()), title="means over fresh songs, 95 %")
    for slider in found.sliders:
        cells = [f"{mean:+.2f} ({low:+.2f} to {high:+.2f})" for mean, low, high in (slider.effects[name] for name in UNITS)]
        table.add_row(slider.name, *cells)
    return table
