"""`mp3net train`: the plan, signals and exit codes around `training.trainer`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from mp3net.apps.device import choose_device
from mp3net.config import Config
from mp3net.data.dataset import CropDataset, check_audio
from mp3net.errors import Mp3netError
from mp3net.model.generator import Generator
from mp3net.training.checkpoint import RunDirectory
from mp3net.training.trainer import Trainer, format_duration

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run(data: Path, preset_name: str, config: Config, out: Path, device_name: str, threads: int | None) -> None:
    """Train, or resume; exits with 128 + signal number when a signal ended it after saving."""
    device = choose_device(device_name)
    if threads is not None:
        torch.set_num_threads(threads)
    check_audio(data, config)
    dataset = CropDataset(data, config.track_samples)
    run_directory = RunDirectory(out, config, dataset.fingerprint)
    trainer = Trainer(config, dataset, run_directory, device, _say, _heldout(data, config))
    if trainer.state.tracks_seen >= config.train.total_tracks:
        _say(f"{out}: finished, {trainer.state.tracks_seen:,} tracks seen. Raise --tracks to go on")
        return
    try:
        _say(plan(preset_name, trainer))
        with _stop_on_signal(trainer) as received:
            outcome = trainer.run()
    except KeyboardInterrupt:
        _say("interrupted; what the last checkpoint holds is kept, the same command goes on from there")
        sys.exit(128 + signal.SIGINT)
    except torch.OutOfMemoryError:
        raise Mp3netError(
            f"out of memory on {device}: a smaller --set train.batch_size, or a smaller preset, needs less; "
            "the run's last checkpoint is kept"
        ) from None
    _say(
        f"{'finished' if outcome.finished else 'stopped'} at {outcome.tracks_seen:,} tracks; saved {outcome.checkpoint}"
    )
    _say(f"listen: mp3net generate {out}" + ("" if outcome.finished else "   go on: the same command again"))
    if received:
        sys.exit(128 + received[0])


def _heldout(data: Path, config: Config) -> CropDataset | None:
    """Held-out crops for the evaluations on the way; None where no held-out piece is long enough."""
    try:
        return CropDataset(data, config.track_samples, "heldout")
    except Mp3netError:
        _say("no held-out piece is as long as a track: evaluations on the way compare with training pieces")
        return None


def _say(line: str) -> None:
    print(line, flush=True)


@contextmanager
def _stop_on_signal(trainer: Trainer) -> Iterator[list[int]]:
    """The first Ctrl-C or SIGTERM lets the current iteration end and saves; a second one ends at once."""
    received: list[int] = []

    def stop(number: int, _: object) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        trainer.stop_requested = True
        _say("stopping after this iteration, then saving ...")

    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def plan(preset_name: str, trainer: Trainer) -> str:
    """What is about to happen, how fast (measured by a probe that changes nothing) and how long it will take."""
    config, state, dataset = trainer.config, trainer.state, trainer.dataset
    train = config.train
    rate = train.batch_size * train.discriminator_steps / trainer.probe_iteration_s()
    left = train.total_tracks - state.tracks_seen
    generator_m, discriminator_m = (
        sum(parameter.numel() for parameter in network.parameters()) / 1e6
        for network in (state.generator, state.discriminator)
    )
    # Weights, two moments each and the averaged generator, once more as a snapshot; 4 bytes per number.
    checkpoint_gb = train.keep_checkpoints * (5 * generator_m + 4 * discriminator_m) * 4e-3
    short = f" ({dataset.num_too_short} shorter ones left out)" if dataset.num_too_short else ""
    start = f"resuming at {state.tracks_seen:,} tracks" if trainer.resumed_from else "starting"
    return "\n".join(
        [
            f"{preset_name} on {trainer.device}, {train.precision}: generator {generator_m:.2f} M, discriminator "
            f"{discriminator_m:.2f} M parameters, {generator_gflop(config):.1f} GFLOP per track",
            f"data: {len(dataset.pieces)} pieces{short}, {dataset.hours:.2f} h, in crops of {config.track_duration_s:.2f} s",
            f"batch {train.batch_size}, {train.discriminator_steps} discriminator steps per generator step; checkpoints "
            f"take up to {checkpoint_gb:.2f} GB",
            f"{start}; {left:,} of {train.total_tracks:,} tracks to go at {rate:.3g} tracks/s (measured): "
            f"{format_duration(left / rate)} left",
        ]
    )


def generator_gflop(config: Config) -> float:
    """Floating-point operations of one generator pass in units of 1e9, counted without computing."""
    with torch.device("meta"):
        generator = Generator(config.model, config.audio.channels)
        latent = torch.zeros(1, config.model.latent_dim)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        generator(latent)
    return float(counter.get_total_flops()) / 1e9
