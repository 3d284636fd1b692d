"""Time and memory of one discriminator step (penalty and noise included) and one generator step.

    python benchmarks/step.py [--precision float32|bfloat16] [--plain] [--runs 7] [--profile]

1024 frames x 32 bins, stereo, batch 8, c_0 = 16, cap 512. Each is also given as a share of the rate of a large matrix
product, measured in the same run. --plain composes the layers of PyTorch's own convolutions and activations, and leaves its
memory format and allocator as they are. --profile tells which operations a discriminator step spends its time on.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from mp3net.config import AudioConfig, Config, OptimiserConfig, PaperModel, override
from mp3net.model.paper import layers
from mp3net.model.paper.convolution import Convolution
from mp3net.training.memory import keep_freed_memory, peak_memory
from mp3net.training.objectives.base import Terms
from mp3net.training.objectives.choice import build_objective
from mp3net.training.objectives.draws import TrackDraws
from mp3net.training.plan import flop_per_track
from mp3net.training.state import Learner, build_state

CPU = torch.device("cpu")


def plain(x: Tensor, w: Tensor, bias: Tensor, form: Convolution, slope: float | None = None) -> Tensor:
    """`convolve` as a straightforward program would have it."""
    frames_step, bins_step = form.stride
    if form.transposed:
        frames, bins = x.shape[2] * frames_step, x.shape[3] * bins_step
        first_bin = 1 if bins_step == 1 else 0
        y = F.conv_transpose2d(x, w, bias, form.stride)[..., :frames, first_bin : first_bin + bins]
    elif frames_step == 2:
        y = F.conv2d(F.pad(x, (int(bins_step == 1), 1, 0, 1)), w, bias, form.stride)
    else:
        y = F.conv2d(x, w, bias, padding=form.size // 2)
    return y if slope is None else F.leaky_relu(y, slope)


def timed(runs: int, work: Callable[[], object]) -> list[float]:
    work()
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return times


def matmul_gflops(dtype: torch.dtype, size: int = 4096) -> float:
    a, b = torch.randn(size, size, dtype=dtype), torch.randn(size, size, dtype=dtype)
    return 2 * size**3 / min(timed(5, lambda: a @ b)) / 1e9


class Both:
    """The two steps on fixed random input."""

    def __init__(self, config: Config, as_is: bool) -> None:
        self.state = build_state(config, CPU)
        if as_is:
            for network in (self.state.networks.generator, self.state.networks.discriminator):
                network.to(memory_format=torch.contiguous_format)
        self.objective = build_objective(config, self.state.networks, CPU)
        self.real = 0.1 * torch.randn(8, 2, 1024, 32)

    def discriminator(self) -> None:
        self._step(self.state.discriminator, self.objective.discriminator, 1)

    def generator(self) -> None:
        self._step(self.state.generator, self.objective.generator, 2)

    def psychoacoustics(self) -> None:
        x = self.real.clone().requires_grad_(True)
        self.objective.psychoacoustics.add_masking_noise(x).square().sum().backward()

    def _step(self, learner: Learner, losses: Callable[..., Terms], stream: int) -> None:
        self.state.only(learner)
        losses(self.real, TrackDraws(0, range(8), stream, CPU), Tensor.backward)
        self.state.move(learner)


def report(name: str, work: Callable[[], object], gflop: float, rate: float, runs: int) -> None:
    times = timed(runs, work)
    median = statistics.median(times)
    print(
        f"{name} step: {median:.2f} s ({min(times):.2f}-{max(times):.2f}), {gflop:.0f} GFLOP, {gflop / median:.0f} GFLOP/s, "
        f"{gflop / median / rate:.2f} of the matrix product"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    config = Config(
        audio=AudioConfig(num_bins=32),
        model=PaperModel(num_blocks=4),
        optimiser=OptimiserConfig(precision=options.precision),
    )
    if options.plain:
        layers.convolve = plain
        layers.leaky_relu = F.leaky_relu
    else:
        keep_freed_memory()
    rate = matmul_gflops(torch.bfloat16 if options.precision == "bfloat16" else torch.float32)
    print(f"{options.precision}{', plain' if options.plain else ''}: large matrix product {rate:.0f} GFLOP/s")
    first = 8 * flop_per_track(override(config, ["objective.discriminator_steps=1000000"])) / 1e9
    second = 8 * flop_per_track(override(config, ["objective.discriminator_steps=1"])) / 1e9 - first
    steps = Both(config, options.plain)
    with peak_memory(CPU) as memory:
        report("discriminator", steps.discriminator, first, rate, options.runs)
        report("generator", steps.generator, second, rate, options.runs)
    chain = statistics.median(timed(options.runs, steps.psychoacoustics))
    print(f"psychoacoustic chain, forward and backward: {chain * 1000:.0f} ms")
    print(f"peak memory of the process: {memory.peak_bytes / 2**30:.2f} GiB")
    if options.profile:
        with profile(activities=[ProfilerActivity.CPU]) as found:
            steps.discriminator()
        print(found.key_averages().table(sort_by="self_cpu_time_total", row_limit=12, max_name_column_width=40))


if __name__ == "__main__":
    main()
