"""What `mp3net train` is about to do, in words."""

from __future__ import annotations

import torch

from mp3net.training.plan import check_memory, flop_per_track, forward_flop, precision_rates, probe
from mp3net.training.progress import format_duration
from mp3net.training.trainer import Trainer
from mp3net.words import counted

# How many times faster another precision must be before it is mentioned.
WORTH_A_NOTE = 1.2


def describe(title: str, trainer: Trainer) -> str:
    """What is about to happen, what it needs (measured by a probe that changes nothing) and how long it will take.

    Errors: Mp3netError if it does not fit in memory, with the smallest changes that would make it fit.
    """
    config, networks, dataset = trainer.config, trainer.state.networks, trainer.dataset
    settings, steps = config.optimiser, config.objective.discriminator_steps
    check_memory(trainer.steps)
    measured = probe(trainer.steps)
    gflop = flop_per_track(config) / 1e9
    generator_m, discriminator_m = (
        sum(parameter.numel() for parameter in network.parameters()) / 1e6
        for network in (networks.generator, networks.discriminator)
    )
    # Weights, two moments each and the averaged generator, plus the snapshot; 4 bytes per number.
    checkpoint_gb = config.run.keep_checkpoints * (5 * generator_m + 4 * discriminator_m) * 4e-3
    short = f" ({dataset.num_too_short:,} too short left out)" if dataset.num_too_short else ""
    each = f" on each of {trainer.ranks.count} processes" if trainer.ranks.count > 1 else ""
    whose = "allocated on the GPU" if trainer.device.type == "cuda" else "the whole process"
    return "\n".join(
        [
            f"{title} on {_where(trainer)}, {settings.precision}: generator {generator_m:.2f} M, discriminator "
            f"{discriminator_m:.2f} M parameters, {forward_flop(config)[0] / 1e9:.3g} GFLOP per generated track",
            f"data: {counted(len(dataset.names), 'piece')}{short}, {dataset.hours:.2f} h, in crops of "
            f"{config.track_duration_s:.2f} s",
            f"batch {settings.batch_size}{each.replace(' on each of', ' over')}, "
            f"{counted(steps, 'discriminator step')} per generator step; checkpoints take up to {checkpoint_gb:.2f} GB, "
            f"{config.run.keep_checkpoints} kept",
            *_choices(trainer),
            f"one iteration: {measured.iteration_s:.3g} s, {gflop:.3g} GFLOP per track seen, peak memory "
            f"{measured.peak_bytes / 2**30:.2f} GiB ({whose}{each}), gradient penalty included (time and memory measured)",
            *_precision(trainer),
            *_pace(trainer, settings.batch_size * steps / measured.iteration_s),
        ]
    )


def _where(trainer: Trainer) -> str:
    """The device, of a CPU with its threads, which --threads chooses."""
    threads = f" ({counted(torch.get_num_threads(), 'thread')})" if trainer.device.type == "cpu" else ""
    return f"{trainer.device}{threads}"


def _precision(trainer: Trainer) -> list[str]:
    """That the other precision would be faster on this processor, if so; a run that has begun keeps its own."""
    mine = trainer.config.optimiser.precision
    if trainer.device.type != "cpu" or trainer.state.tracks_seen:
        return []
    rates = precision_rates(trainer.device)
    other = max(rates, key=lambda precision: rates[precision])
    if rates[other] < WORTH_A_NOTE * rates[mine]:
        return []
    return [
        f"note: {other} is faster on this processor, {rates[other] / 1e9:.0f} GFLOP/s in a linear layer where {mine} "
        f"reaches {rates[mine] / 1e9:.0f}; to use it: --set optimiser.precision={other}"
    ]


def _pace(trainer: Trainer, rate: float) -> list[str]:
    """Time left and when there will be something to hear, at `rate` tracks per second."""
    run, seen = trainer.config.run, trainer.state.tracks_seen
    left = run.total_tracks - seen
    start = f"resuming at {counted(seen, 'track')}" if seen else "starting"
    samples, checkpoints = run.sample_every_tracks, run.checkpoint_every_tracks
    return [
        f"{start}; {left:,} of {counted(run.total_tracks, 'track')} to go at "
        f"{rate:.3g} tracks/s: {format_duration(left / rate)} left",
        f"samples to listen to every {counted(samples, 'track')} ({format_duration(samples / rate)}), "
        f"a checkpoint every {checkpoints:,} ({format_duration(checkpoints / rate)})",
    ]


def _choices(trainer: Trainer) -> list[str]:
    """What differs from training everything at a constant rate."""
    settings, objective = trainer.config.optimiser, trainer.config.objective
    state = trainer.state
    lines = []
    if settings.train_last_blocks is not None:
        trained_m = [
            sum(parameter.numel() for parameter in learner.trained) / 1e6
            for learner in (state.generator, state.discriminator)
        ]
        lines.append(
            f"trained: the last {counted(settings.train_last_blocks, 'block')}, {trained_m[0]:.2f} M of the generator's and "
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
