"""`mp3net train`: the plan, signals and exit codes around `training.trainer`."""

from __future__ import annotations

import math
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mp3net.apps.device import choose_device, local_device
from mp3net.config import Config
from mp3net.data.dataset import CropDataset, check_audio
from mp3net.data.storage import Store, open_store
from mp3net.errors import Mp3netError
from mp3net.model.snapshot import open_snapshot
from mp3net.training.checkpoint import RunDirectory, saved_checkpoints
from mp3net.training.memory import available_bytes, keep_freed_memory
from mp3net.training.parallel import join
from mp3net.training.plan import USABLE_SHARE, advice, check_memory, flop_per_track, forward_flop, measure_memory, probe
from mp3net.training.progress import format_duration
from mp3net.training.trainer import Trainer, check_start

T = TypeVar("T")
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run(
    data: str,
    preset_name: str,
    config: Config,
    out: Path,
    device_name: str,
    threads: int | None,
    init_from: Path | None,
    dry_run: bool,
) -> None:
    """Train, or resume; exits with 128 + signal number when a signal ended it after saving."""
    keep_freed_memory()
    device = local_device(choose_device(device_name))
    if threads is not None:
        torch.set_num_threads(threads)
    store = open_store(data)
    check_audio(data, store.config, config.audio)
    dataset = CropDataset(store, config.track_samples, augment=config.augment)
    snapshot = open_snapshot(init_from) if init_from is not None else None
    if snapshot is not None:
        check_start(snapshot, config)
    if config.optimiser.train_last_blocks is not None and snapshot is None and not saved_checkpoints(out):
        raise Mp3netError(
            "--train-blocks leaves the other blocks as they are, and here they would be random: begin with --init-from"
        )
    received: list[int] = []
    with join(device) as ranks:
        say = _say if ranks.first else _silent
        run_directory = RunDirectory(out, config, dataset.fingerprint, touch=not dry_run) if ranks.first else None
        trainer = Trainer(config, dataset, run_directory, device, say, _heldout(store, config, say), ranks, snapshot)
        if snapshot is not None and trainer.state.tracks_seen == 0:
            say(f"beginning with both networks of {snapshot.folder} (weights {snapshot.digest})")
        if trainer.state.tracks_seen >= config.run.total_tracks:
            say(f"{out}: finished, {trainer.state.tracks_seen:,} tracks seen. Raise --tracks to go on")
            return
        if dry_run:
            say(_within_memory(trainer, lambda: plan(preset_name, trainer)))
            say("a dry run: nothing was started or written")
            return
        with _progress(trainer, Console()) as advance:
            received = _within_memory(trainer, lambda: _train(preset_name, trainer, out, say, advance))
    if received:
        sys.exit(128 + received[0])


def last_blocks(which: str) -> str:
    """`--train-blocks` as a value of optimiser.train_last_blocks. Errors: Mp3netError for anything but all and last-N."""
    found = re.fullmatch(r"all|last-([1-9][0-9]*)", which)
    if found is None:
        raise Mp3netError(f"--train-blocks {which!r}: choose all, or last-N with N from 1, such as last-2")
    return found[1] or "null"


def _train(
    preset_name: str, trainer: Trainer, out: Path, say: Callable[[str], None], advance: Callable[[int], None]
) -> list[int]:
    """Plan, train and say how it ended; returns the signals that were received."""
    try:
        say(plan(preset_name, trainer))
        with _stop_on_signal(trainer) as received:
            outcome = trainer.run(advance)
    except KeyboardInterrupt:
        say("interrupted; what the last checkpoint holds is kept, the same command goes on from there")
        sys.exit(128 + signal.SIGINT)
    say(
        f"{'finished' if outcome.finished else 'stopped'} at {outcome.tracks_seen:,} tracks; saved {outcome.checkpoint}"
    )
    say(f"listen: mp3net generate {out}" + ("" if outcome.finished else "   go on: the same command again"))
    return received


def _within_memory(trainer: Trainer, work: Callable[[], T]) -> T:
    """Run `work`; a GPU that runs out of memory becomes advice."""
    try:
        return work()
    except torch.OutOfMemoryError:
        raise Mp3netError(
            f"out of memory on {trainer.device}; the last checkpoint is kept. What would fit: {_what_would_fit(trainer)}"
        ) from None


def _what_would_fit(trainer: Trainer) -> str:
    """Advice from measurements with few samples, where even these still fit."""
    trainer.forget_gradients()
    torch.cuda.empty_cache()
    try:
        model = measure_memory(trainer)
        samples = max(len(tracks) for tracks in trainer.micro_batches())
        # It did not fit, whatever the device says it has.
        limit = USABLE_SHARE * min(available_bytes(trainer.device) or math.inf, model.peak(samples))
        return "; ".join(advice(trainer, model, limit))
    except torch.OutOfMemoryError:
        return "a smaller preset"


@contextmanager
def _progress(trainer: Trainer, console: Console) -> Iterator[Callable[[int], None]]:
    """On a terminal, a bar with tracks and time left below the lines that are said."""
    if not (console.is_terminal and trainer.ranks.first):
        yield lambda tracks_seen: None
        return
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("tracks, left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("train", total=trainer.config.run.total_tracks, completed=trainer.state.tracks_seen)
        yield lambda tracks_seen: bar.update(task, completed=tracks_seen)


def _heldout(store: Store, config: Config, say: Callable[[str], None]) -> CropDataset | None:
    """Held-out crops for the evaluations on the way; None where no held-out piece is long enough."""
    try:
        return CropDataset(store, config.track_samples, "heldout")
    except Mp3netError:
        say("no held-out piece is as long as a track: evaluations on the way compare with training pieces")
        return None


def _say(line: str) -> None:
    print(line, flush=True)


def _silent(line: str) -> None:
    """What the processes other than the first say."""


@contextmanager
def _stop_on_signal(trainer: Trainer) -> Iterator[list[int]]:
    """The first Ctrl-C or SIGTERM lets the current iteration end and saves; a second one ends at once."""
    received: list[int] = []

    def stop(number: int, _: object) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        trainer.stop_requested = True
        trainer.say("stopping after this iteration, then saving ...")

    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def plan(preset_name: str, trainer: Trainer) -> str:
    """What is about to happen, what it needs (measured by a probe that changes nothing) and how long it will take.

    Errors: Mp3netError where it does not fit in memory, with the smallest changes that would.
    """
    config, networks, dataset = trainer.config, trainer.state.networks, trainer.dataset
    settings, steps = config.optimiser, config.objective.discriminator_steps
    check_memory(trainer)
    measured = probe(trainer)
    gflop = flop_per_track(config) / 1e9
    generator_m, discriminator_m = (
        sum(parameter.numel() for parameter in network.parameters()) / 1e6
        for network in (networks.generator, networks.discriminator)
    )
    # Weights, two moments each and the averaged generator, once more as a snapshot; 4 bytes per number.
    checkpoint_gb = config.run.keep_checkpoints * (5 * generator_m + 4 * discriminator_m) * 4e-3
    short = f" ({dataset.num_too_short} shorter ones left out)" if dataset.num_too_short else ""
    each = f" on each of {trainer.ranks.count} processes" if trainer.ranks.count > 1 else ""
    whose = "allocated on the GPU" if trainer.device.type == "cuda" else "the whole process"
    return "\n".join(
        [
            f"{preset_name} on {trainer.device}, {settings.precision}: generator {generator_m:.2f} M, discriminator "
            f"{discriminator_m:.2f} M parameters, {forward_flop(config)[0] / 1e9:.3g} GFLOP per generated track",
            f"data: {len(dataset.names)} pieces{short}, {dataset.hours:.2f} h, in crops of {config.track_duration_s:.2f} s",
            f"batch {settings.batch_size}{each.replace(' on each of', ' over')}, {steps} discriminator "
            f"step(s) per generator step; checkpoints take up to {checkpoint_gb:.2f} GB, "
            f"{config.run.keep_checkpoints} kept",
            *_choices(trainer),
            f"one iteration: {measured.iteration_s:.3g} s, {gflop:.3g} GFLOP per track seen, peak memory "
            f"{measured.peak_bytes / 2**30:.2f} GiB ({whose}{each}), gradient penalty included (time and memory measured)",
            *_pace(trainer, settings.batch_size * steps / measured.iteration_s),
        ]
    )


def _pace(trainer: Trainer, rate: float) -> list[str]:
    """Time left and when there is something to hear, at `rate` tracks per second."""
    run, seen = trainer.config.run, trainer.state.tracks_seen
    left = run.total_tracks - seen
    start = f"resuming at {seen:,} tracks" if seen else "starting"
    samples, checkpoints = run.sample_every_tracks, run.checkpoint_every_tracks
    return [
        f"{start}; {left:,} of {run.total_tracks:,} tracks to go at "
        f"{rate:.3g} tracks/s: {format_duration(left / rate)} left",
        f"samples to listen to every {samples:,} tracks ({format_duration(samples / rate)}), "
        f"a checkpoint every {checkpoints:,} ({format_duration(checkpoints / rate)})",
    ]


def _choices(trainer: Trainer) -> list[str]:
    """What differs from training everything at a constant rate."""
    settings, objective = trainer.config.optimiser, trainer.config.objective
    networks = trainer.state.networks
    lines = []
    if settings.train_last_blocks is not None:
        trained_m = [
            sum(parameter.numel() for parameter in trainer.trainable(network)) / 1e6
            for network in (networks.generator, networks.discriminator)
        ]
        lines.append(
            f"trained: the last {settings.train_last_blocks} block(s), {trained_m[0]:.2f} M of the generator's and "
            f"{trained_m[1]:.2f} M of the discriminator's parameters; the rest stays as it is"
        )
    for name, points in (
        ("learning rate", settings.learning_rate_schedule),
        ("penalty weight", objective.gradient_penalty_schedule),
    ):
        if points:
            course = ", ".join(f"x {factor:g} at {seen:,}" for seen, factor in points)
            late = " (beyond the end of this training)" if points[-1][0] > trainer.config.run.total_tracks else ""
            lines.append(f"{name}: {course} tracks{late}")
    return lines
