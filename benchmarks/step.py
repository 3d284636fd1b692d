"""Time and memory of one discriminator step (penalty and noise included) and one generator step.

    python benchmarks/step.py [--precision float32|bfloat16] [--plain] [--runs 5]

1024 frames x 32 bins, stereo, batch 8, c_0 = 16, cap 512. Each is also given as a share of the rate of a large matrix
product, measured in the same run. --plain takes PyTorch's own strided transposed convolutions and its default memory format.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mp3net.config import AudioConfig, Config, ModelConfig, TrainConfig, override
from mp3net.model.layers import ConvTranspose
from mp3net.training.memory import keep_freed_memory
from mp3net.training.objective import Objective, TrackDraws
from mp3net.training.plan import flop_per_track
from mp3net.training.trainer import build_state

CPU = torch.device("cpu")


def plain_transposed(self: ConvTranspose, x: Tensor) -> Tensor:
    out = nn.ConvTranspose2d.forward(self, x)
    frames, bins = x.shape[2] * self.stride[0], x.shape[3] * self.stride[1]
    return out[..., :frames, 1 : bins + 1] if self.stride[1] == 1 else out[..., :frames, :bins]


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    if not arguments.plain:
        keep_freed_memory()
    config = Config(
        audio=AudioConfig(num_bins=32),
        model=ModelConfig(num_blocks=4),
        train=TrainConfig(precision=arguments.precision),
    )
    if arguments.plain:
        ConvTranspose.forward = plain_transposed  # type: ignore[method-assign, assignment]
    state = build_state(config, CPU)
    if arguments.plain:
        for network in (state.generator, state.discriminator):
            network.to(memory_format=torch.contiguous_format)
    objective = Objective(config, state, CPU)
    rate = matmul_gflops(torch.bfloat16 if arguments.precision == "bfloat16" else torch.float32)
    real = 0.1 * torch.randn(8, 2, 1024, 32)

    def discriminator_step() -> None:
        state.discriminator_optimiser.zero_grad(set_to_none=True)
        objective.discriminator_terms(real, TrackDraws(0, range(8), 1, CPU))["loss/discriminator"].backward()
        state.discriminator_optimiser.step()

    def generator_step() -> None:
        state.discriminator.requires_grad_(False)
        state.generator_optimiser.zero_grad(set_to_none=True)
        objective.generator_terms(TrackDraws(0, range(8), 2, CPU))["loss/generator"].backward()
        state.generator_optimiser.step()
        state.discriminator.requires_grad_(True)

    print(f"{arguments.precision}{', plain' if arguments.plain else ''}: large matrix product {rate:.0f} GFLOP/s")
    many_steps = override(config, ["train.discriminator_steps=1000000"])
    discriminator_gflop = 8 * flop_per_track(many_steps) / 1e9
    generator_gflop = 8 * flop_per_track(override(config, ["train.discriminator_steps=1"])) / 1e9 - discriminator_gflop
    for name, step, gflop in (
        ("discriminator", discriminator_step, discriminator_gflop),
        ("generator", generator_step, generator_gflop),
    ):
        times = timed(arguments.runs, step)
        median = statistics.median(times)
        print(
            f"{name} step: {median:.2f} s ({min(times):.2f}-{max(times):.2f}), {gflop:.0f} GFLOP, "
            f"{gflop / median:.0f} GFLOP/s, {gflop / median / rate:.2f} of the matrix product"
        )
    chain = timed(arguments.runs, lambda: psychoacoustic_chain(objective, real))
    print(f"psychoacoustic chain, forward and backward: {statistics.median(chain) * 1000:.0f} ms")
    print(f"peak memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


def psychoacoustic_chain(objective: Objective, coefficients: Tensor) -> None:
    x = coefficients.clone().requires_grad_(True)
    F.mse_loss(objective.ear.add_masking_noise(x), torch.zeros_like(x)).backward()


if __name__ == "__main__":
    main()
