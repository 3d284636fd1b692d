"""`mp3net train`: configuration and data, signals, exit codes and all messages."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TypeVar

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from mp3net.apps.console import plain_console
from mp3net.apps.device import choose_device, local_device
from mp3net.apps.ending import ENDING_SIGNALS, ignored, leave, terminals
from mp3net.apps.forecast import describe
from mp3net.config import PRESETS, Config, Mp3net2Model, override, preset, presets_for, read_config
from mp3net.data.dataset import CropDataset, check_audio
from mp3net.data.storage import Store, is_remote, open_store
from mp3net.errors import Mp3netError
from mp3net.generation import BUNDLED
from mp3net.model.snapshot import Snapshot, open_snapshot
from mp3net.training.checkpoint import RunDirectory, saved_checkpoints, saved_tracks
from mp3net.training.memory import keep_freed_memory
from mp3net.training.origin import RUN_FILE, Origin, read_origin
from mp3net.training.parallel import join
from mp3net.training.plan import advice_when_exhausted
from mp3net.training.progress import Clock, format_duration
from mp3net.training.standing import standing
from mp3net.training.state import check_start
from mp3net.training.steps import Steps
from mp3net.training.trainer import Trainer
from mp3net.training.watcher import Watcher
from mp3net.words import counted

T = TypeVar("T")
HANGUP = getattr(signal, "SIGHUP", None)
MEASURING = "measuring the time and memory of one iteration ..."


@dataclass(frozen=True)
class Request:
    """The command line of `mp3net train`; None for options that were not given."""

    out: Path
    data: str | None = None
    preset: str | None = None
    config: Path | None = None
    settings: tuple[str, ...] = ()
    tracks: int | None = None
    train_blocks: str | None = None
    device: str = "auto"
    threads: int | None = None
    init_from: Path | None = None
    dry_run: bool = False
    data_changed: bool = False


@dataclass(frozen=True)
class Choice:
    """The configuration and the data. `taken` says where those that the command line left out were taken from."""

    config: Config
    preset: str | None
    data: str
    store: Store
    init_from: Path | None
    taken: str


def run(request: Request) -> None:
    """Train or resume; exits with 128 + signal number if a signal ended the run after saving."""
    keep_freed_memory()
    device = local_device(choose_device(request.device))
    if request.threads is not None:
        torch.set_num_threads(request.threads)
    choice = choose(request)
    config, out = choice.config, request.out
    check_audio(choice.data, choice.store.index.config, config.audio)
    dataset = CropDataset(choice.store, config.track_samples, augment=config.augment)
    snapshot = _beginning(request, choice)
    with join(device) as ranks:
        say = _say if ranks.first else _silent
        if choice.taken:
            say(choice.taken)
        run_directory = _run_directory(request, choice, dataset, snapshot) if ranks.first else None
        heldout = _heldout(choice.store, config, say)
        trainer = Trainer(config, dataset, run_directory, device, heldout, ranks, snapshot)
        for earlier in run_directory.origin.earlier_data if run_directory is not None else ():
            state = f"fingerprint {earlier['data_sha256'][:12]}"
            say(f"the first {earlier['until_tracks']:,} tracks saw the data as it was before it changed ({state})")
        for problem in trainer.problems:
            say(f"warning: {problem}")
        if trainer.state.tracks_seen == 0 and (begun := _begun(config, snapshot)):
            say(begun)
        if trainer.state.tracks_seen >= config.run.total_tracks:
            say(f"{out}: finished, {counted(trainer.state.tracks_seen, 'track')} seen. Raise --tracks to go on")
            return
        title = choice.preset or (str(request.config) if request.config is not None else out.name)
        if request.dry_run:
            say(MEASURING)
            say(_within_memory(trainer.steps, lambda: describe(title, trainer)))
            say("a dry run: nothing was started or written")
            return
        received = _within_memory(trainer.steps, lambda: _train(title, trainer, out, say))
    if received:
        sys.exit(128 + received[0])


def choose(request: Request) -> Choice:
    """Configuration and data, from the command line, the run that exists, or the dataset.

    Errors: Mp3netError where none of them says it, or two do.
    """
    if request.preset is not None and request.config is not None:
        raise Mp3netError("--preset and --config: give one of them")
    run = read_origin(request.out) if (request.out / RUN_FILE).is_file() else None
    other = _other_run(request.config)
    data, taken = _data(request, run or other, request.out if run is not None else request.config)
    init_from = _initial_weights(request, other or (run if request.preset is None else None))
    name, config, store = request.preset, None, None
    if request.config is not None:
        config, name = read_config(request.config), other.preset if other is not None else None
    elif name is not None:
        config = preset(name)
    elif run is not None:
        config, name = run.config, run.preset
        taken.insert(0, f"configuration of {request.out}")
    else:
        store = open_store(data)
        name = store.index.preset
        config = preset(name) if name is not None else _no_preset(data, store)
        taken.insert(0, f"preset {name}, for which {data} was prepared")
    return Choice(_adjusted(config, request), name, data, store or open_store(data), init_from, "; ".join(taken))


def _initial_weights(request: Request, origin: Origin | None) -> Path | None:
    """Where a fresh run begins: as the command line says, or like the run whose configuration is taken."""
    if request.init_from == Path(BUNDLED.name) and not request.init_from.exists():
        return BUNDLED
    if request.init_from is not None or origin is None or not origin.init_from or saved_checkpoints(request.out):
        return request.init_from
    snapshot = open_snapshot(Path(origin.init_from))
    if snapshot.digest != origin.init_weights:
        raise Mp3netError(
            f"{origin.init_from}: holds other weights ({snapshot.digest}) than those that the run began with "
            f"({origin.init_weights}); name where to begin with --init-from"
        )
    return Path(origin.init_from)


def _other_run(config: Path | None) -> Origin | None:
    """What reproduces the run whose file was given as --config."""
    if config is not None and str(config) in PRESETS and not config.exists():
        raise Mp3netError(f"--config {config}: no such file; for the preset of that name, give --preset {config}")
    if config is not None and config.is_dir():
        raise Mp3netError(f"--config {config}: is a folder; name a file, such as {config / RUN_FILE} of a run")
    return read_origin(config.parent) if config is not None and config.name == RUN_FILE and config.is_file() else None


def _data(request: Request, origin: Origin | None, place: Path | None) -> tuple[str, list[str]]:
    """Where the dataset lies, and what has to be said of that."""
    if request.data is not None:
        if (Path(request.data) / RUN_FILE).is_file():
            resume = f"mp3net train --out {quote(request.data)}"
            raise Mp3netError(f"{request.data}: is a run, not a dataset; to resume it: {resume}")
        return request.data, []
    if origin is None or not origin.data:
        raise Mp3netError("name the dataset to train on: mp3net train DATA --out ... (make one with `mp3net prepare`)")
    if not is_remote(origin.data) and not Path(origin.data).exists():
        raise Mp3netError(
            f"{place}: its dataset {origin.data} is no longer there; if you have moved it, name it: mp3net train DATA ..."
        )
    return origin.data, [f"data {origin.data}, as in {place}"]


def _no_preset(data: str, store: Store) -> Config:
    found = store.index.config
    longest = max((entry["num_samples"] for entry in store.index.entries if entry["split"] == "train"), default=0)
    fitting = presets_for(found.sample_rate_hz, found.channels, longest)
    which = f"it could serve {', '.join(fitting)}" if fitting else "see `mp3net info`"
    raise Mp3netError(f"{data}: was prepared without naming a preset; give --preset ({which}) or --config")


def _adjusted(config: Config, request: Request) -> Config:
    config = override(config, list(request.settings))
    if request.tracks is not None:
        config = override(config, [f"run.total_tracks={request.tracks}"], "--tracks")
    if request.train_blocks is not None:
        blocks = last_blocks(request.train_blocks)
        config = override(config, [f"optimiser.train_last_blocks={blocks}"], "--train-blocks")
    return config


def last_blocks(which: str) -> str:
    """`--train-blocks` as a value of optimiser.train_last_blocks. Errors: Mp3netError for anything but all and last-N."""
    found = re.fullmatch(r"all|last-([1-9][0-9]*)", which)
    if found is None:
        raise Mp3netError(f"--train-blocks {which!r}: choose all, or last-N with N from 1, such as last-2")
    return found[1] or "null"


def _beginning(request: Request, choice: Choice) -> Snapshot | None:
    """The snapshot that a fresh run starts from. Errors: Mp3netError if it does not fit, or one is needed but not given."""
    if choice.init_from is not None:
        snapshot = open_snapshot(choice.init_from)
        check_start(snapshot, choice.config)
        return snapshot
    if choice.config.optimiser.train_last_blocks is not None and not saved_checkpoints(request.out):
        raise Mp3netError(
            "--train-blocks leaves the other blocks as they are, and here they would be random: begin with --init-from"
        )
    return None


def _begun(config: Config, snapshot: Snapshot | None) -> str:
    """What is to be said of how a fresh run begins, if anything."""
    if snapshot is not None:
        return f"beginning with both networks of {snapshot.folder} (weights {snapshot.digest})"
    if not isinstance(config.model, Mp3net2Model):
        return ""
    nothing = {"movement_lags": (), "loudness_lags": (), "interval_lags": (), "tuning_harmonics": 0}
    drawn_to = {name: value for name, value in nothing.items() if getattr(config.model, name)}
    if not drawn_to:
        return ""
    leave_out = " ".join(f"--set 'model.{name}={'[]' if value == () else value}'" for name, value in drawn_to.items())
    return (
        "warning: fresh networks learn to move before they learn to sound; begin with the weights of a shorter preset "
        f"(--init-from), or add {leave_out}"
    )


def _run_directory(request: Request, choice: Choice, dataset: CropDataset, snapshot: Snapshot | None) -> RunDirectory:
    out = request.out
    before = read_origin(out) if saved_checkpoints(out) else None
    if before is not None:  # an existing run keeps its own origin
        init_from, init_weights = before.init_from, before.init_weights
    else:
        init_from = str(choice.init_from.resolve()) if choice.init_from is not None else ""
        init_weights = snapshot.digest if snapshot is not None else ""
    place = choice.data if is_remote(choice.data) else str(Path(choice.data).resolve())
    origin = Origin(
        choice.config, dataset.fingerprint, place, choice.preset, init_from, init_weights,
        earlier_data=_earlier_data(request, before, dataset),
    )  # fmt: skip
    return RunDirectory(out, origin, touch=not request.dry_run)


def _earlier_data(request: Request, before: Origin | None, dataset: CropDataset) -> tuple[dict[str, object], ...]:
    """What the run was trained on before its data changed, with --data-changed also that of up to now."""
    if before is None:
        return ()
    if not request.data_changed or before.data_sha256 == dataset.fingerprint:
        return before.earlier_data
    until = saved_tracks(request.out)
    return *before.earlier_data, {"data_sha256": before.data_sha256, "data": before.data, "until_tracks": until}


def _heldout(store: Store, config: Config, say: Callable[[str], None]) -> CropDataset | None:
    """Held-out crops for evaluations during training; None if no held-out piece is long enough."""
    try:
        return CropDataset(store, config.track_samples, "heldout")
    except Mp3netError:
        say("no held-out piece is as long as a track: evaluations on the way compare with training pieces")
        return None


def _train(title: str, trainer: Trainer, out: Path, say: Callable[[str], None]) -> list[int]:
    """Plan, train and say how it ended; returns the signals that were received."""
    try:
        say(MEASURING)
        say(describe(title, trainer))
        with _stop_on_signal(trainer, say) as received:
            outcome = trainer.run(*([ConsoleWatcher(trainer, say, plain_console())] if trainer.ranks.first else []))
    except KeyboardInterrupt:
        kept = "what the last checkpoint holds is kept, the same command goes on from there"
        say(f"interrupted; {kept if saved_checkpoints(out) else 'nothing was saved yet, the same command begins again'}")
        sys.exit(128 + signal.SIGINT)
    ended = "finished" if outcome.finished else "stopped"
    say(f"{ended} at {counted(outcome.tracks_seen, 'track')}; saved {outcome.checkpoint}")
    length = " --duration 20" if trainer.config.model.calibrated else ""
    again = "" if outcome.finished else "   go on: the same command again"
    song = quote(f"{out.resolve().name}.wav")
    say(f"listen: mp3net generate {quote(str(out))}{length} --out {song}{again}")
    return received


def _within_memory(steps: Steps, work: Callable[[], T]) -> T:
    """Run `work`; if a GPU runs out of memory, raises Mp3netError with advice."""
    try:
        return work()
    except torch.OutOfMemoryError:
        # Until this block has ended, the traceback keeps the graph of the failed step in memory.
        pass
    raise Mp3netError(
        f"out of memory on {steps.device}; the last checkpoint is kept. What would fit: {advice_when_exhausted(steps)}"
    )


class ConsoleWatcher(Watcher):
    """Prints a line for every report; on a terminal, a bar below them shows tracks and time left."""

    def __init__(self, trainer: Trainer, say: Callable[[str], None], console: Console) -> None:
        self.config, self.run = trainer.config, trainer.config.run
        self.run_directory = trainer.run_directory.path if trainer.run_directory is not None else None
        self.summary = trainer.steps.objective.summary
        self.say = say
        self._clock = Clock(trainer.state.tracks_seen, self.run.total_tracks)
        self._bar: Progress | None = None
        self._task = TaskID(0)
        if console.is_terminal:
            self._bar, self._task = _bar(console, trainer)

    def advanced(self, tracks_seen: int) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=tracks_seen)

    def logged(self, tracks_seen: int, readings: Mapping[str, float]) -> None:
        self._clock.reported(tracks_seen)
        self.say(
            f"{tracks_seen:>9,}/{self.run.total_tracks:,} tracks  {readings['rate/tracks_per_s']:.3g}/s  "
            f"left {format_duration(self._clock.left_s())}  {self.summary(readings)}"
        )

    def evaluated(self, tracks_seen: int, readings: Mapping[str, float]) -> None:
        found = {name.removeprefix("evaluation/"): value for name, value in readings.items()}
        self.say(
            f"{tracks_seen:>9,} tracks: evaluation of {self.run.evaluate_samples} songs: octave flatness "
            f"{found['octave_flatness']:.3f}, spread {found['octave_flatness_spread']:.3f} "
            f"(real {found['octave_flatness_real']:.3f}, {found['octave_flatness_spread_real']:.3f})  "
            f"level error {found['level_error_db']:.1f} dB  kernel distance {found['kernel_logmel']:.2f}  "
            f"coverage {found['coverage_logmel']:.2f}  hum {found['checkerboard_db']:.1f} dB"
        )
        if "pair_error" in found:
            self.say(
                f"{'':9} a classifier is wrong in {100 * found['pair_error']:.0f} % of pairs (50 %: no better than guessing)"
            )
        if self.run_directory is not None:
            self.say(f"{'':9} {standing(self.run_directory, self.config)}")

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()


def _bar(console: Console, trainer: Trainer) -> tuple[Progress, TaskID]:
    columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("tracks, left"))
    bar = Progress(*columns, TimeRemainingColumn(), console=console, transient=True)
    task = bar.add_task("train", total=trainer.config.run.total_tracks, completed=trainer.state.tracks_seen)
    bar.start()
    return bar, task


def _say(line: str) -> None:
    print(line, flush=True)


def _silent(line: str) -> None:
    """What processes other than the first print: nothing."""


@contextmanager
def _stop_on_signal(trainer: Trainer, say: Callable[[str], None]) -> Iterator[list[int]]:
    """The first Ctrl-C, SIGTERM or closing of the terminal lets the current iteration end and saves; a second signal ends
    the run at once."""
    received: list[int] = []
    screens = terminals()

    def stop(number: int, _: object) -> None:
        if number == HANGUP:
            leave(screens)
        if received and number == HANGUP:
            return  # a terminal that closes may send several: its shell does, and the system
        if received:
            raise KeyboardInterrupt
        received.append(number)
        trainer.stop_requested = True
        say("stopping after this iteration, then saving ...")

    heeded = [signal.SIGINT, *(number for number in ENDING_SIGNALS if not ignored(number))]
    before = {number: signal.signal(number, stop) for number in heeded}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
