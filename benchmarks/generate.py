"""Time and peak memory of one song of a preset with fresh weights, in a process of its own.

    python benchmarks/generate.py [--preset piano-95s] [--set model.hold_frames=4 ...] [--precision bfloat16] [--runs 5]
        [--batch 4]

By PyTorch, as `mp3net generate` does it where it uses PyTorch. Between two runs the rate of a matrix product (4096 x 4096)
in the same precision is measured: times on machines of other speed, or on a busy one, are compared by what such products
could have done meanwhile. --batch makes so many songs at a time.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from pathlib import Path

import torch

from mp3net.config import override, preset
from mp3net.dsp.mdct import imdct
from mp3net.generation.torch_player import TorchPlayer
from mp3net.model.build import build_generator
from mp3net.model.snapshot import open_snapshot, save_snapshot
from mp3net.training.plan import forward_flop

SIZE = 4096


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="piano-95s")
    parser.add_argument("--set", dest="settings", action="append", default=[], help="KEY=VALUE, may be repeated")
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--batch", type=int, default=1)
    options = parser.parse_args()
    config = override(preset(options.preset), options.settings)
    with tempfile.TemporaryDirectory() as folder:
        generator = build_generator(config)
        generator.initialise(torch.Generator().manual_seed(0))
        save_snapshot(Path(folder) / "fresh", config, generator.state_dict(), None, {})
        player = TorchPlayer.of(open_snapshot(Path(folder) / "fresh"), "cpu", options.precision)
    z = torch.randn(options.batch, config.model.latent_size(config.model.num_frames))
    square = torch.randn(SIZE, SIZE, dtype=getattr(torch, options.precision))
    before_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    network, inverse, rates = [], [], []
    for _ in range(options.runs + 1):
        started = time.perf_counter()
        coefficients = player.coefficients(z)
        middle = time.perf_counter()
        with torch.inference_mode():
            imdct(coefficients)
        end = time.perf_counter()
        torch.mm(square, square)
        rates.append(2 * SIZE**3 / (time.perf_counter() - end) / 1e9)
        network.append((middle - started) / options.batch)
        inverse.append((end - middle) / options.batch)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    n, i, rate = network[1:], inverse[1:], statistics.median(rates[1:])
    gflop = forward_flop(config)[0] / 1e9
    print(
        f"{options.preset} {options.precision}, batch {options.batch}, {torch.get_num_threads()} threads, torch "
        f"{torch.__version__}: {gflop:.3g} GFLOP, network {statistics.median(n):.3f} s ({min(n):.3f}-{max(n):.3f}), inverse "
        f"MDCT {1000 * statistics.median(i):.0f} ms ({1000 * min(i):.0f}-{1000 * max(i):.0f}), per song, median (range) of "
        f"{options.runs}; matrix products {rate:.0f} GFLOP/s ({min(rates[1:]):.0f}-{max(rates[1:]):.0f}): the time of "
        f"{statistics.median(n) * rate:.0f} GFLOP; {60 / (statistics.median(n) + statistics.median(i)):.0f} songs a minute; "
        f"peak memory {peak_mib:.0f} MiB, of which {before_mib:.0f} MiB imports and weights"
    )


if __name__ == "__main__":
    main()
