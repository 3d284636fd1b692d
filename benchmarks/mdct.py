"""Time of the MDCT of 95 s of stereo, by matrix product and by FFT, and their error against float64.

    python benchmarks/mdct.py [--runs 7]

Chooses `MATMUL_MAX_BINS` in mp3net/dsp/mdct.py.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time

import torch

from mp3net.dsp import mdct as module

SECONDS, RATE_HZ = 95, 22016


def milliseconds(call, runs: int) -> list[float]:
    call()
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - started))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{SECONDS} s stereo at {RATE_HZ} Hz, float32; median (min-max) of {options.runs} runs, ms")
    for num_bins in (64, 128, 256, 512, 1024, 2048):
        samples = SECONDS * RATE_HZ // num_bins * num_bins
        audio = torch.rand(2, samples) * 2 - 1
        exact = module.mdct(audio.double(), num_bins)
        for name, limit in (("matmul", 4096), ("fft", 0)):
            module.MATMUL_MAX_BINS = limit
            with torch.inference_mode():
                coefficients = module.mdct(audio, num_bins)
                row = []
                for call in (lambda a=audio, n=num_bins: module.mdct(a, n), lambda c=coefficients: module.imdct(c)):
                    times = milliseconds(call, options.runs)
                    row.append(f"{statistics.median(times):6.1f} ({min(times):.1f}-{max(times):.1f})")
            error = float((coefficients - exact).abs().max())
            print(f"{num_bins:5d} bins  {name:6s}  mdct {row[0]:24s} imdct {row[1]:24s} largest error {error:.1e}")


if __name__ == "__main__":
    main()
