"""`mp3net prepare`: progress bar and closing table around `data.prepare`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from mp3net.config import PRESETS, DataConfig
from mp3net.data.prepare import REPORT_FILE, SPLITS, PrepareReport, prepare

SHOWN_PATHS = 3


def run(folder: Path, out: Path, config: DataConfig, workers: int) -> None:
    """Prepare with a progress bar, then say what became of every file."""
    console = Console()
    try:
        with _progress(console) as progress:
            report = prepare(folder, out, config, workers, progress)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where this one stopped", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    console.print(_table(report))
    if report.hours("heldout") == 0 and config.heldout_share > 0:
        console.print("warning: a single usable file: none could be held out to judge results by")
    console.print(f"dataset: {out}   every file: {out / REPORT_FILE}", soft_wrap=True)
    console.print(_next_step(report, out), soft_wrap=True, markup=False)


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[int, int], None]]:
    """A bar with time left on a terminal, otherwise a line for every tenth of the files."""
    if not console.is_terminal:

        def line(done: int, total: int) -> None:
            if done * 10 // total != (done - 1) * 10 // total:
                print(f"prepared {done}/{total} files", flush=True)

        yield line
        return
    columns = (
        TextColumn("preparing"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("files, left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("prepare", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _next_step(report: PrepareReport, out: Path) -> str:
    """The training command, with the presets that this dataset can serve."""
    longest = max(file.num_samples for file in report.kept if report.splits[file.piece] == "train")
    fitting = [
        name
        for name, preset in PRESETS.items()
        if (preset.audio.sample_rate_hz, preset.audio.channels)
        == (report.config.sample_rate_hz, report.config.channels)
        and preset.track_samples <= longest
    ]
    if not fitting:
        return "next: no preset has this sample rate, these channels and a track this short; see `mp3net info`"
    others = f"   (or --preset {', '.join(fitting[1:])})" if len(fitting) > 1 else ""
    return f"next: mp3net train {out} --preset {fitting[0]} --out runs/{out.name}{others}"


def _table(report: PrepareReport) -> Table:
    table = Table("", "files", "hours", "what", title=None)
    kept = report.kept
    for split, meaning in zip(SPLITS, ("kept for training", "kept, held out"), strict=True):
        count = sum(report.splits[file.piece] == split for file in kept)
        table.add_row(meaning, str(count), f"{report.hours(split):.2f}", f"{report.config.sample_rate_hz} Hz, "
                      f"{'stereo' if report.config.channels == 2 else 'mono'}")  # fmt: skip
    for reason, paths in sorted(report.skipped_by_reason().items()):
        more = f" and {len(paths) - SHOWN_PATHS} more" if len(paths) > SHOWN_PATHS else ""
        table.add_row(f"skipped: {reason}", str(len(paths)), "", ", ".join(paths[:SHOWN_PATHS]) + more)
    total_hours = sum(report.hours(split) for split in SPLITS)
    table.add_row(
        "size on disk", str(len(kept)), f"{total_hours:.2f}", f"{report.size_bytes / 1e6:.1f} MB", style="bold"
    )
    return table
