"""What training a preset takes: measured here, estimated for GPUs. Prints the table of docs/training.md.

    python benchmarks/presets.py [PRESET ...]

Measured with one track at a time, in the preset's precision, on noise: time and peak memory of one iteration, as `mp3net
train` has them; and, before freed memory is kept, the peak of the most expensive step (the discriminator's) with one and
with two tracks, with and without activation checkpointing.

Estimated: a GPU computes convolutions at half of its dense bfloat16 peak and moves the bytes that all operations of a step
read and write (counted on tensors without content; backward passes twice the forward's, as with FLOP) at 80 % of its memory
bandwidth, one after the other. Its memory holds 90 % of its size: fixed bytes and bytes per track as measured here, the
1 GiB of libraries in the process taken off.
"""

from __future__ import annotations

import argparse
import multiprocessing
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mp3net.config import PRESETS, Config, override
from mp3net.model.build import build_discriminator, build_generator
from mp3net.training.memory import keep_freed_memory
from mp3net.training.plan import MemoryModel, flop_per_track, measure_memory, probe
from mp3net.training.trainer import Trainer

CPU = torch.device("cpu")
LIBRARIES_BYTES = 2**30


@dataclass(frozen=True)
class Gpu:
    name: str
    flop_per_s: float
    bytes_per_s: float
    memory_bytes: float


GPUS = (
    Gpu("H100 80 GB", 989e12, 3.35e12, 80e9),
    Gpu("A100 80 GB", 312e12, 2.04e12, 80e9),
    Gpu("RTX 4090 24 GB", 165e12, 1.01e12, 24e9),
)


class Traffic(TorchDispatchMode):
    """Counts the bytes that operations read and write; views move none."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if not func.is_view and "empty" not in func.__name__:
            tensors = [leaf for leaf in tree_leaves((args, kwargs, out)) if isinstance(leaf, Tensor)]
            self.bytes += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        return out


def bytes_per_track(config: Config) -> float:
    """Bytes moved per track that the discriminator sees, in bfloat16: the sum of flop_per_track, of bytes."""
    counts = []
    with FakeTensorMode(allow_non_fake_inputs=True):
        value = torch.zeros(1, config.model.latent_size(config.model.num_frames))
        for network in (build_generator(config), build_discriminator(config)):
            with torch.autocast("cpu", torch.bfloat16), Traffic() as traffic:
                value = network(value)
            counts.append(traffic.bytes)
    return config.objective.cost_per_track(*counts)


class Noise:
    """A dataset without recordings."""

    def __init__(self, config: Config) -> None:
        self.shape = (config.audio.channels, config.track_samples)

    def batch(self, seed: int, first_index: int, count: int) -> Tensor:
        return 0.1 * torch.randn(count, *self.shape, generator=torch.Generator().manual_seed(first_index))


def largest(memory: MemoryModel, gpu: Gpu) -> int:
    return memory.largest(0.9 * gpu.memory_bytes + LIBRARIES_BYTES)


def report(name: str) -> None:
    config = override(PRESETS[name], ["optimiser.batch_size=1"])
    steps = Trainer(config, Noise(config), None, CPU).steps  # type: ignore[arg-type]
    plain, spared = measure_memory(steps), measure_memory(steps, checkpointing=True)
    keep_freed_memory()
    measured, slower = probe(steps), probe(steps, checkpointing=True)
    flop, traffic = flop_per_track(config), bytes_per_track(config)
    total = PRESETS[name].run.total_tracks
    each, each_spared = plain.bytes_per_sample / 2**30, spared.bytes_per_sample / 2**30
    print(
        f"{name}: {flop / 1e12:.3g} TFLOP and {traffic / 1e9:.3g} GB per track seen; here, batch 1: "
        f"{measured.iteration_s:.3g} s, {measured.peak_bytes / 2**30:.2f} GiB; with checkpointing "
        f"{slower.iteration_s:.3g} s, {slower.peak_bytes / 2**30:.2f} GiB; "
        f"each further track {each:.3g} GiB, with checkpointing {each_spared:.3g} GiB"
    )
    for gpu in GPUS:
        rate = 1 / (flop / (0.5 * gpu.flop_per_s) + traffic / (0.8 * gpu.bytes_per_s))
        print(
            f"  {gpu.name}: {rate:.3g} tracks/s, {total:,} tracks in {total / rate / 3600:.3g} h; fits batch "
            f"{largest(plain, gpu)}, with checkpointing {largest(spared, gpu)}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("presets", nargs="*", default=list(PRESETS))
    for name in parser.parse_args().presets:
        # Each in a process of its own: kept memory stays kept.
        process = multiprocessing.get_context("spawn").Process(target=report, args=(name,))
        process.start()
        process.join()


if __name__ == "__main__":
    main()
