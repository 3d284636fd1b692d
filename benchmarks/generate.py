"""Time and peak memory of one song of a preset with fresh weights, in a process of its own.

python benchmarks/generate.py [--preset piano-95s] [--set model.hold_frames=4 ...] [--precision bfloat16] [--runs 5]
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time

import torch

from mp3net.config import override, preset
from mp3net.dsp.mdct import imdct
from mp3net.generation import MP3net
from mp3net.model.build import build_generator


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="piano-95s")
    parser.add_argument("--set", dest="settings", action="append", default=[], help="KEY=VALUE, may be repeated")
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    config = override(preset(options.preset), options.settings)
    generator = build_generator(config)
    generator.initialise(torch.Generator().manual_seed(0))
    generator = generator.to(memory_format=torch.channels_last).eval().requires_grad_(False)
    model = MP3net(generator, config, options.precision)
    before_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    network, inverse = [], []
    for _ in range(options.runs + 1):
        started = time.perf_counter()
        coefficients = model.coefficients(model.latent(1))
        middle = time.perf_counter()
        with torch.inference_mode():
            imdct(coefficients)
        network.append(middle - started)
        inverse.append(time.perf_counter() - middle)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    n, i = network[1:], inverse[1:]
    print(
        f"{options.preset} {options.precision}, {torch.get_num_threads()} threads, torch {torch.__version__}: network "
        f"{statistics.median(n):.2f} s ({min(n):.2f}-{max(n):.2f}), inverse MDCT {1000 * statistics.median(i):.0f} ms "
        f"({1000 * min(i):.0f}-{1000 * max(i):.0f}), median (range) of {options.runs}; peak memory {peak_mib:.0f} MiB, "
        f"of which {before_mib:.0f} MiB imports and weights"
    )


if __name__ == "__main__":
    main()
