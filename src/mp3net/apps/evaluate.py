"""`mp3net evaluate`: progress, the closing table and the report around `evaluation.session`."""

from __future__ import annotations

import math
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table

from mp3net.apps.console import plain_console
from mp3net.apps.device import open_model
from mp3net.data.index import read_index
from mp3net.data.storage import LocalStore, is_remote
from mp3net.errors import Mp3netError
from mp3net.evaluation.features import MEASURES
from mp3net.evaluation.report import HTML_FILE, JSON_FILE, number, save_report, short_interval, summary
from mp3net.evaluation.result import Evaluation
from mp3net.evaluation.session import DEFAULT_SAMPLES, Progress, evaluate
from mp3net.locks import LOCK_FILE, Lock
from mp3net.training.origin import find_run, read_origin

CAPTION = (
    "judged, and the floor (the same for other real recordings), with 95 % intervals; place: the two faults whose deviation "
    "from real music is just smaller and just larger"
)


@dataclass(frozen=True)
class Request:
    """The command line of `mp3net evaluate`; None for options that were not given."""

    out: Path
    snapshot: Path | None = None
    audio: Path | None = None
    data: Path | None = None
    samples: int = DEFAULT_SAMPLES
    seconds: float | None = None
    seed: int = 0
    measures: str | None = None
    cache: Path | None = None
    device: str = "auto"
    precision: str = "float32"
    threads: int | None = None
    force: bool = False
    match_level: bool = False


def run(request: Request) -> None:
    """Check what can be checked beforehand, evaluate, write the report and print the numbers."""
    out = request.out
    _check(request)
    data = _data(request)
    if request.threads is not None:
        torch.set_num_threads(request.threads)
    candidate = request.audio or open_model(request.snapshot, request.device, request.precision)
    console = plain_console()
    started = time.monotonic()
    _open_out(out, request.force)
    try:
        with Lock(out, "mp3net evaluate").acquire(), _progress(console) as progress:
            _open_out(out, request.force)  # another may have written its report since
            evaluation = evaluate(
                candidate,
                data,
                samples=request.samples,
                seconds=request.seconds,
                seed=request.seed,
                measures=_names(request.measures),
                cache=request.cache,
                match_level=request.match_level,
                progress=progress,
            )
            save_report(evaluation, out)
    except Mp3netError:
        with suppress(OSError):  # nothing else is in a new folder
            if {path.name for path in out.iterdir()} == {LOCK_FILE}:
                (out / LOCK_FILE).unlink()
                out.rmdir()
        raise
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where this one stopped", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    _print(console, evaluation)
    took_s = time.monotonic() - started
    _line(console, f"report: {out / HTML_FILE}   numbers: {out / JSON_FILE}   took {took_s:.0f} s")


def _check(request: Request) -> None:
    if request.snapshot is not None and request.audio is not None:
        raise Mp3netError("give a snapshot or --audio, not both")
    if request.match_level and request.audio is None:
        raise Mp3netError("--match-level is for --audio: songs of a snapshot have the level that the model gives them")
    if request.seconds is not None and not math.isfinite(request.seconds):
        raise Mp3netError(f"--seconds {request.seconds:g}: give the length of a clip in seconds, such as 5")
    if _names(request.measures) == []:
        raise Mp3netError(f"--measures is empty; name some of: {', '.join(MEASURES)}")


def _names(measures: str | None) -> list[str] | None:
    return [name.strip() for name in measures.split(",") if name.strip()] if measures is not None else None


def _data(request: Request) -> Path:
    """The dataset to compare with: the one named, or that of the run that made the snapshot."""
    if request.data is not None:
        read_index(request.data)
        return request.data
    run = find_run(request.snapshot) if request.snapshot is not None else None
    origin = read_origin(run) if run is not None else None
    if origin is None or not origin.data:
        raise Mp3netError("name the real music to compare with: --data DATA, made by `mp3net prepare`")
    if is_remote(origin.data):
        raise Mp3netError(f"{run} was trained on {origin.data}; copy it here and name the copy with --data")
    if not Path(origin.data).exists():
        raise Mp3netError(f"{run}: its dataset {origin.data} is no longer there; if you have moved it, name it with --data")
    store = LocalStore(Path(origin.data))
    print(f"data {origin.data}, as in {run}", flush=True)
    if store.fingerprint != origin.data_sha256:
        print(f"warning: {origin.data} is no longer the dataset that {run} was trained on", flush=True)
    return Path(origin.data)


def _open_out(out: Path, force: bool) -> None:
    """Refuse an unusable output folder before the work rather than after it."""
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
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bars(*columns, TextColumn("left"), TimeRemainingColumn(), console=console, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def update(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total, visible=done < total)

        yield update


def _print(console: Console, evaluation: Evaluation) -> None:
    for sentence in summary(evaluation):
        _line(console, sentence)
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
        _line(console, f"warning: {note}")
    for measure, reason in evaluation.left_out.items():
        _line(console, f"not computed: {measure}: {reason}")
    blind = [result.metric.name for result in evaluation.results if result.unseen]
    if blind:
        _line(console, f"weak here, since they miss faults that they should see (report): {', '.join(blind)}")
    for name, heard in evaluation.piano.items():
        rates = ", ".join(number(rate) for rate in heard.notes_per_s)
        _line(console, f"piano notes per second in {name}: {rates}")
    if evaluation.copy_threshold is not None:
        copies = [match for match in evaluation.matches if match.similarity >= evaluation.copy_threshold]
        for match in copies[:3]:
            _line(
                console,
                f"as similar as a copy ({match.similarity:.3f}): {match.clip} at {match.clip_position_s:.2f} s, "
                f"{match.source} at {match.source_position_s:.2f} s",
            )


def _line(console: Console, text: str) -> None:
    console.print(text, soft_wrap=True)
