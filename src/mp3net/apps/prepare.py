"""`mp3net prepare` and `mp3net parquet`: progress, tables and advice around `data`."""

from __future__ import annotations

import math
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from shlex import quote

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from mp3net.apps import enough
from mp3net.apps.console import plain_console
from mp3net.apps.dry_run import dry_run
from mp3net.apps.ending import ended_tidily
from mp3net.config import DataConfig, parse_config, preset, presets_for
from mp3net.data.inventory import REPORT_FILE, SPLITS, TABLE_FILE, PrepareReport, Provenance, printable, some
from mp3net.data.isolation import default_workers
from mp3net.data.option_names import OPTIONS
from mp3net.data.preparation import Advance, Runner, prepare
from mp3net.data.recordings import Recordings, Shard, below, maestro, parse_shard, parse_years
from mp3net.errors import Mp3netError
from mp3net.words import counted, duration, size

SHOWN_DAMAGED = 10


@dataclass(frozen=True)
class Request:
    """The command line of `mp3net prepare`; None for options that were not given. `settings` are those of `DataConfig`."""

    out: Path
    settings: Mapping[str, object]
    trim_silence: str = "-60"
    folder: Path | None = None
    maestro: Path | None = None
    years: str | None = None
    preset: str | None = None
    provenance: Provenance = field(default_factory=Provenance)
    workers: int | None = None
    shard: str | None = None
    ray: str | None = None
    dry_run: bool = False


def run(request: Request) -> None:
    """Prepare with a progress bar and say what became of every file, or only say what preparation would take."""
    config = data_config(request)
    recordings = find(request.folder, request.maestro, request.years)
    shard = parse_shard(request.shard) if request.shard is not None else None
    engine = _on_ray(request.ray) if request.ray is not None else None
    if request.dry_run:
        served = _served_preset(request.preset, config)
        dry_run(recordings, request.out, config, request.workers or default_workers(), shard, served)
        return
    report = _prepared(request, recordings, config, shard, engine)
    console = plain_console()
    if report.added == []:
        pieces = counted(sum(file.status == "kept" for file in report.files), "piece")
        console.print(
            f"nothing to add: {request.out} holds {pieces}, and {recordings.folder} has nothing new to use", soft_wrap=True
        )
        return
    console.print(_table(report))
    for line in _closing_lines(request, report):
        console.print(line, soft_wrap=True)


def data_config(request: Request) -> DataConfig:
    """Errors: Mp3netError for settings that are out of range or contradict each other."""
    given = {name: value for name, value in request.settings.items() if value is not None}
    if "loudness_lufs" in given and given.get("level") != "loudness":
        raise Mp3netError(f"--loudness {given['loudness_lufs']:g} belongs to --level loudness")
    if "heldout_share" in given and request.maestro is not None:
        raise Mp3netError(f"--heldout {given['heldout_share']:g}: --maestro has splits of its own; leave it out")
    settings: dict[str, object] = {"trim_silence_db": trim_threshold(request.trim_silence)}
    if request.preset is not None:
        chosen = preset(request.preset)
        settings |= {"sample_rate_hz": chosen.audio.sample_rate_hz, "channels": chosen.audio.channels}
        settings["min_duration_s"] = chosen.track_samples / chosen.audio.sample_rate_hz
    config: DataConfig = parse_config(settings | given, "prepare", DataConfig, OPTIONS)
    return config


def find(folder: Path | None, maestro_folder: Path | None, years: str | None) -> Recordings:
    """The recordings that the command line names. Errors: Mp3netError for none or two places."""
    if (folder is None) == (maestro_folder is None):
        raise Mp3netError("name one place: either a FOLDER of recordings or --maestro DIR")
    if maestro_folder is not None:
        return maestro(maestro_folder, parse_years(years) if years is not None else None)
    if years is not None:
        raise Mp3netError("--years belongs to --maestro")
    assert folder is not None
    return below(folder)


def trim_threshold(text: str) -> float | None:
    """`--trim-silence`. Errors: Mp3netError for anything but a number or off."""
    if text == "off":
        return None
    try:
        threshold_db = float(text)
    except ValueError:
        threshold_db = math.nan
    if not threshold_db < 0:
        example = f"{-threshold_db:g}" if 0 < threshold_db < math.inf else "-60"
        raise Mp3netError(f"--trim-silence {text}: give dB relative to the peak, such as {example}, or off")
    return threshold_db


def _prepared(
    request: Request, recordings: Recordings, config: DataConfig, shard: Shard | None, engine: Runner | None
) -> PrepareReport:
    said = request.provenance
    provenance = replace(said, source=said.source or recordings.source, licence=said.licence or recordings.licence)
    try:
        with ended_tidily(), _progress(plain_console()) as progress:
            return prepare(
                recordings, request.out, config, request.workers or default_workers(), progress=progress, shard=shard,
                engine=engine, provenance=provenance, preset=_served_preset(request.preset, config),
            )  # fmt: skip
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where this one stopped", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)


def _served_preset(name: str | None, config: DataConfig) -> str | None:
    """The preset, unless other options made a dataset that it cannot use."""
    audio = preset(name).audio if name is not None else None
    fits = audio is not None and (audio.sample_rate_hz, audio.channels) == (config.sample_rate_hz, config.channels)
    return name if fits else None


def _closing_lines(request: Request, report: PrepareReport) -> Iterator[str]:
    out = request.out
    if request.shard is not None:
        count = parse_shard(request.shard).count
        done = "Now" if count == 1 else f"When all {count} are,"
        yield (
            f"shard {request.shard}: decoded into {quote(str(out))}. {done} the same command without --shard finishes the "
            "dataset"
        )
        return
    if report.hours("heldout") == 0 and report.config.heldout_share > 0:
        yield "warning: nothing is held out to judge results by: a single usable recording, or none in that split"
    pieces = {split: [file.num_samples for file in report.kept if report.splits[file.piece] == split] for split in SPLITS}
    amount = enough.Amount(pieces["train"], pieces["heldout"], report.config, _served_preset(request.preset, report.config))
    yield from enough.warnings(amount, splits_are_fixed=request.maestro is not None)
    yield from _damage_lines(report)
    if report.added:
        yield (
            f"added {counted(len(report.added), 'recording')}; those that were there are as they were. A run on this "
            "dataset goes on with all of them by `mp3net train --out RUN --data-changed`"
        )
    table, report_file = (quote(str(out / name)) for name in (TABLE_FILE, REPORT_FILE))
    yield f"dataset: {quote(str(out))}   every file: {table}, {report_file}"
    yield _next_step(request, report)


def _damage_lines(report: PrepareReport) -> Iterator[str]:
    """What is missing, file by file, the worst first."""
    worst = sorted(report.damaged, key=lambda file: -file.missing_s)
    for file in worst[:SHOWN_DAMAGED]:
        yield f"missing music: {printable(file.path)}: {file.damage}"
    if len(worst) > SHOWN_DAMAGED:
        yield f"missing music: {counted(len(worst) - SHOWN_DAMAGED, 'more file')}, in the column damage of {TABLE_FILE}"
    if worst:
        yield "These files were kept with what they hold; --strict leaves them out"


def _on_ray(address: str) -> Runner:
    """Errors: Mp3netError if Ray is not installed."""
    from mp3net.data.cluster import check_installed, run_on_ray

    check_installed()
    return partial(run_on_ray, address=address)


def to_parquet(data: Path, out: Path) -> None:
    """Export, printing a line per file."""
    from mp3net.data.parquet import export_parquet

    files = export_parquet(data, out, lambda done, total: print(f"{done} of {counted(total, 'piece')}", flush=True))
    size_mb = sum(file.stat().st_size for file in files) / 1e6
    print(f"wrote {counted(len(files), 'Parquet file')}, {size_mb:.1f} MB, into {out}")


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[Advance], None]]:
    """A bar with rate and time left on a terminal, otherwise a line for every tenth of the files."""
    if not console.is_terminal:

        def line(now: Advance) -> None:
            if now.done * 10 // now.total != (now.done - 1) * 10 // now.total:
                print(f"prepared {_state(now)}", flush=True)

        yield line
        return
    columns = (TextColumn("preparing"), BarColumn(), TextColumn("{task.fields[state]}", markup=False))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("prepare", total=None, state="reading headers")

        def advance(now: Advance) -> None:
            bar.update(task, completed=now.done_s, total=max(now.total_s, 1e-9), state=_state(now))

        yield advance


def _state(now: Advance) -> str:
    if now.left_s is None:
        return f"{now.done} of {counted(now.total, 'file')}"
    minutes, seconds = divmod(round(now.left_s), 60)
    left = f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"
    return f"{now.done} of {counted(now.total, 'file')}, {now.times_real_time:.0f} x real time, {left} left"


def _next_step(request: Request, report: PrepareReport) -> str:
    """The training command, with the presets that this dataset suits."""
    out = request.out
    longest = max((file.num_samples for file in report.kept if report.splits[file.piece] == "train"), default=0)
    fitting = presets_for(report.config.sample_rate_hz, report.config.channels, longest)
    if not fitting:
        return "next: no preset has this sample rate, these channels and a track this short; see `mp3net info`"
    named = request.preset in fitting
    others = [name for name in fitting if name != request.preset] if named else fitting[1:]
    which = "" if named else f" --preset {fitting[0]}"
    more = f"   (or --preset {', '.join(others)})" if others else ""
    run = Path("runs") / out.resolve().name
    return f"next: mp3net train {quote(str(out))}{which} --out {quote(str(run))}{more}"


def _table(report: PrepareReport) -> Table:
    table = Table("", "files", "length", "what", title=None)
    kept = report.kept
    kind = f"{report.config.sample_rate_hz} Hz, {'stereo' if report.config.channels == 2 else 'mono'}"
    if report.splits:
        for split, meaning in zip(SPLITS, ("kept for training", "kept, held out"), strict=True):
            count = sum(report.splits[file.piece] == split for file in kept)
            table.add_row(meaning, str(count), duration(3600 * report.hours(split)), kind)
    duration_s = sum(file.num_samples for file in kept) / report.config.sample_rate_hz
    for reason, paths in sorted(report.dropped_by_reason().items()):
        table.add_row(printable(reason), str(len(paths)), "", some(paths))
    damaged = report.damaged
    if damaged:
        missing_s = sum(file.missing_s for file in damaged)
        what = f"at least {duration(missing_s)} are missing: {some([file.path for file in damaged])}"
        table.add_row("kept, but incomplete", str(len(damaged)), "", what)
    trimmed_s = sum(file.trimmed_s for file in kept)
    if trimmed_s >= 1:
        table.add_row("silent ends cut", "", duration(trimmed_s), "")
    table.add_row("size on disk", str(len(kept)), duration(duration_s), size(report.size_bytes), style="bold")
    return table
