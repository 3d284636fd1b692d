"""What a run needs, before it starts: time and memory of an iteration, and what to change if it does not fit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from mp3net.config import Config, Precision
from mp3net.errors import Mp3netError
from mp3net.model.build import build_discriminator, build_generator
from mp3net.training.memory import available_bytes, peak_memory
from mp3net.training.steps import Steps

T = TypeVar("T")
# Above this share of the available memory, a run of several days will sooner or later run out.
USABLE_SHARE = 0.9
PRECISION_TRIES = 20


@dataclass(frozen=True)
class Probe:
    """Time and peak memory of one iteration of this process."""

    iteration_s: float
    peak_bytes: int


@dataclass(frozen=True)
class MemoryModel:
    """Peak bytes of the discriminator step as a line through two measurements: the step with the penalty needs most."""

    fixed_bytes: float
    bytes_per_sample: float

    def peak(self, samples: int) -> float:
        return self.fixed_bytes + self.bytes_per_sample * samples

    def largest(self, limit_bytes: float) -> int:
        """How many samples fit at a time."""
        return max(int((limit_bytes - self.fixed_bytes) / max(self.bytes_per_sample, 1.0)), 0)


def measure_memory(steps: Steps, checkpointing: bool | None = None) -> MemoryModel:
    """Measure with one and with two groups of the minibatch deviation (1 and 2 samples if it spans the batch), with or
    without activation checkpointing, by default as configured."""
    group = steps.config.model.coupled_samples or 1

    def peak_bytes(samples: int) -> int:
        with peak_memory(steps.device) as found:
            steps.discriminator_gradients(step=0, tracks=range(samples))
        return found.peak_bytes

    peaks = _measured(steps, lambda: [peak_bytes(group), peak_bytes(2 * group)], checkpointing)
    slope = max(peaks[1] - peaks[0], 0) / group
    return MemoryModel(peaks[0] - slope * group, slope)


def _measured(steps: Steps, work: Callable[[], T], checkpointing: bool | None) -> T:
    """The result of `work`; afterwards gradients are cleared and the networks' setting is restored."""
    networks = (steps.state.networks.generator, steps.state.networks.discriminator)
    configured = steps.config.run.activation_checkpointing
    try:
        for network in networks:
            network.checkpointing = configured if checkpointing is None else checkpointing
        return work()
    finally:
        for network in networks:
            network.checkpointing = configured
        steps.state.forget_gradients()


def samples_at_a_time(steps: Steps) -> int:
    return max(len(tracks) for tracks in steps.loader.portions(0))


def check_memory(steps: Steps) -> None:
    """Refuse an iteration that would not fit in memory, naming the smallest changes that would make it fit.

    Nothing is tried at full size: on a CPU the system would kill the process without a message. Errors: Mp3netError.
    """
    available = available_bytes(steps.device)
    samples = samples_at_a_time(steps)
    if available is None or samples <= 2 * (steps.config.model.coupled_samples or 1):
        return
    model = measure_memory(steps)
    limit = USABLE_SHARE * available
    if model.peak(samples) > limit:
        raise Mp3netError(
            f"one step with {samples} tracks at a time needs about {model.peak(samples) / 2**30:.1f} GiB, of "
            f"{available / 2**30:.1f} GiB there are on {steps.device}. What would fit: "
            + "; ".join(advice(steps, model, limit))
        )


def advice_when_exhausted(steps: Steps) -> str:
    """Advice after memory has run out, from measurements with few samples, if these still fit."""
    steps.state.forget_gradients()
    torch.cuda.empty_cache()
    try:
        model = measure_memory(steps)
        # It did not fit, whatever the device reports as available.
        limit = USABLE_SHARE * min(available_bytes(steps.device) or math.inf, model.peak(samples_at_a_time(steps)))
        return "; ".join(advice(steps, model, limit))
    except torch.OutOfMemoryError:
        return "a smaller preset"


def advice(steps: Steps, model: MemoryModel, limit_bytes: float) -> list[str]:
    """The smallest changes that make a step fit, measured where that is cheap."""
    config, found = steps.config, []
    if not config.run.activation_checkpointing:
        again = measure_memory(steps, checkpointing=True)
        needed = again.peak(samples_at_a_time(steps))
        if needed <= limit_bytes:
            found.append(f"--set run.activation_checkpointing=true ({needed / 2**30:.1f} GiB, one forward pass more)")
        else:
            model = again if again.largest(limit_bytes) > model.largest(limit_bytes) else model
    fitting, batch_size, group = model.largest(limit_bytes), config.optimiser.batch_size, config.model.coupled_samples
    if group is not None and fitting >= group:
        size = largest_divisor(batch_size, fitting, group)
        found.append(f"--set run.micro_batch_size={size} (the same result, slower)")
    elif group is None and fitting >= 2:
        size = largest_divisor(batch_size, fitting, 1)
        found.append(f"--set model.stddev_group_size={size} --set run.micro_batch_size={size} (in a new run)")
    if fitting >= 1:
        found.append(f"--set optimiser.batch_size={fitting * steps.ranks.count} (in a new run)")
    if config.optimiser.precision == "float32":
        found.append("--set optimiser.precision=bfloat16 (in a new run)")
    return found or ["a smaller preset"]


def largest_divisor(batch_size: int, limit: int, multiple_of: int) -> int:
    """The largest divisor of the batch up to `limit` that is a multiple of `multiple_of`; `multiple_of` if there is none."""
    fitting = [n for n in range(multiple_of, limit + 1, multiple_of) if batch_size % n == 0]
    return max(fitting, default=multiple_of)


def probe(steps: Steps, checkpointing: bool | None = None) -> Probe:
    """Compute and discard the gradients of one cycle of the objective's iterations; consumes no random state and changes
    nothing. The time is the mean over the cycle."""
    per_iteration = steps.config.objective.discriminator_steps
    iterations = max(steps.objective.cycle_steps // per_iteration, 1)

    def iteration(number: int) -> None:
        for step in range(number * per_iteration, (number + 1) * per_iteration):
            steps.discriminator_gradients(step)
        steps.generator_gradients()

    def duration_s() -> float:
        iteration(0)
        synchronise(steps.device)
        started = time.perf_counter()
        for number in range(iterations):
            iteration(number)
        synchronise(steps.device)
        return time.perf_counter() - started

    with peak_memory(steps.device) as memory:
        took_s = _measured(steps, duration_s, checkpointing)
    return Probe(took_s / iterations, memory.peak_bytes)


def precision_rates(device: torch.device) -> dict[Precision, float]:
    """Floating-point operations per second of a linear layer of a usual size, in each precision: the best of several tries.

    bfloat16 is two to four times as fast as float32 on processors with units for it, and slower on others.
    """
    rates: dict[Precision, float] = {}
    types: dict[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    with torch.inference_mode():
        for precision, dtype in types.items():
            rows, weight = (torch.ones(size, device=device, dtype=dtype) for size in ((512, 768), (256, 768)))
            took_s = []
            for _ in range(PRECISION_TRIES):
                started = time.perf_counter()
                torch.nn.functional.linear(rows, weight)
                synchronise(device)
                took_s.append(time.perf_counter() - started)
            rates[precision] = 2 * 512 * 768 * 256 / min(took_s)
    return rates


def forward_flop(config: Config) -> tuple[int, int]:
    """Floating-point operations of one forward pass of the generator and of the discriminator, counted without computing."""
    counts: list[int] = []
    # With gradients, as in training: without them the generator computes the same in place, which the counter does not see.
    with FakeTensorMode(allow_non_fake_inputs=True):
        value = torch.zeros(1, config.model.latent_size(config.model.num_frames))
        for network in (build_generator(config), build_discriminator(config)):
            with FlopCounterMode(display=False) as counter:
                value = network(value)
            counts.append(counter.get_total_flops())
    return counts[0], counts[1]


def flop_per_track(config: Config) -> float:
    """Floating-point operations per track that the discriminator sees."""
    return config.objective.cost_per_track(*forward_flop(config))


def synchronise(device: torch.device) -> None:
    """Wait until a GPU has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
