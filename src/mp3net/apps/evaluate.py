"""`mp3net evaluate`: progress, the closing table and the report around `evaluation.evaluate`."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table

from mp3net.apps.device import choose_device
from mp3net.apps.generate import PRECISIONS
from mp3net.data.prepare import read_index
from mp3net.errors import Mp3netError
from mp3net.evaluation.evaluate import Progress, evaluate
from mp3net.evaluation.features import MEASURES
from mp3net.evaluation.report import HTML_FILE, JSON_FILE, number, save_report, short_interval, summary
from mp3net.evaluation.result import Evaluation
from mp3net.generation import MP3net

CAPTION = (
    "judged, and the floor (the same for other real recordings), with 95 % intervals; place: the two faults whose deviation "
    "from real music is just smaller and just larger"
)


def run(
    snapshot: Path | None,
    audio: Path | None,
    data: Path,
    out: Path,
    samples: int,
    seconds: float | None,
    seed: int,
    measures: str | None,
    cache: Path | None,
    device_name: str,
    precision: str,
    threads: int | None,
    force: bool,
    match_level: bool,
) -> None:
    """Check what can be checked first, evaluate, write the report and print the numbers."""
    if snapshot is not None and audio is not None:
        raise Mp3netError("give a snapshot or --audio, not both")
    if precision not in PRECISIONS:
        raise Mp3netError(f"--precision {precision!r}: choose one of {', '.join(PRECISIONS)}")
    if match_level and audio is None:
        raise Mp3netError("--match-level is for --audio: songs of a snapshot have the level that the model gives them")
    read_index(data)
    if threads is not None:
        torch.set_num_threads(threads)
    names = [name.strip() for name in measures.split(",") if name.strip()] if measures is not None else None
    if names == []:
        raise Mp3netError(f"--measures is empty; name some of: {', '.join(MEASURES)}")
    candidate: MP3net | Path = audio if audio is not None else _model(snapshot, device_name, precision)
    console = Console()
    started = time.monotonic()
    _open_out(out, force)
    try:
        with _progress(console) as progress:
            evaluation = evaluate(candidate, data, samples, seconds, seed, names, (), cache, match_level, progress)
    except Mp3netError:
        with suppress(OSError):
            out.rmdir()  # unless something is in it
        raise
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where this one stopped", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    save_report(evaluation, out)
    _print(console, evaluation)
    console.print(
        f"report: {out / HTML_FILE}   numbers: {out / JSON_FILE}   took {time.monotonic() - started:.0f} s",
        soft_wrap=True, markup=False,
    )  # fmt: skip


def _open_out(out: Path, force: bool) -> None:
    """Refuse before the work what could only be refused after it."""
    if out.exists() and not out.is_dir():
        raise Mp3netError(f"--out {out}: is a file; name a folder")
    if (out / JSON_FILE).exists() and not force:
        raise Mp3netError(f"--out {out}: holds a report; add --force to replace it, or name another folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".probe.partial"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise Mp3netError(f"--out {out}: cannot be written: {error.strerror}") from None


def _model(snapshot: Path | None, device_name: str, precision: str) -> MP3net:
    device = choose_device(device_name)
    return MP3net.from_pretrained(snapshot, str(device), "bfloat16" if precision == "bfloat16" else "float32")


@contextmanager
def _progress(console: Console) -> Iterator[Progress]:
    """One bar per step on a terminal, otherwise a line per step."""
    if not console.is_terminal:
        seen: set[str] = set()

        def line(what: str, done: int, total: int) -> None:
            if what not in seen:
                seen.add(what)
                print(f"{what} ({total})", flush=True)

        yield line
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Bars(*columns, console=console, transient=True) as bars:
        tasks: dict[str, object] = {}
        yield _bar_updater(bars, tasks)


def _bar_updater(bars: Bars, tasks: dict[str, object]) -> Callable[[str, int, int], None]:
    def update(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(what, total=total)
        bars.update(tasks[what], completed=done, total=total)  # type: ignore[arg-type]
        if done >= total:
            bars.update(tasks[what], visible=False)  # type: ignore[arg-type]

    return update


def _print(console: Console, evaluation: Evaluation) -> None:
    for sentence in summary(evaluation):
        console.print(sentence, soft_wrap=True, markup=False)
    table = Table("metric", "judged", "floor", "place on the ladder", caption=CAPTION)
    group = None
    for result in evaluation.results:
        if group not in (None, result.metric.group):
            table.add_section()
        group = result.metric.group
        values = (short_interval(score.value) for score in (result.score, result.floor))
        table.add_row(result.metric.name, *values, result.place)
    console.print(table)
    for note in evaluation.warnings:
        console.print(f"warning: {note}", soft_wrap=True, markup=False)
    for measure, reason in evaluation.left_out.items():
        console.print(f"not computed: {measure}: {reason}", soft_wrap=True, markup=False)
    blind = [result.metric.name for result in evaluation.results if result.unseen]
    if blind:
        console.print(
            f"weak here, since they miss faults that they should see (report): {', '.join(blind)}",
            soft_wrap=True,
            markup=False,
        )
    for name, heard in evaluation.piano.items():
        rates = ", ".join(number(rate) for rate in heard.notes_per_s)
        console.print(f"piano notes per second in {name}: {rates}", soft_wrap=True, markup=False)
    if evaluation.copy_threshold is not None:
        copies = [match for match in evaluation.matches if match.similarity >= evaluation.copy_threshold]
        for match in copies[:3]:
            console.print(
                f"as like as a copy ({match.similarity:.3f}): {match.clip} at {match.clip_position_s:.2f} s, "
                f"{match.source} at {match.source_position_s:.2f} s", soft_wrap=True, markup=False,
            )  # fmt: skip
