"""Time of the MDCT of 95 s of stereo, by matrix product and by FFT, and their error against float64.

    python benchmarks/mdct.py [--runs 15]

Chooses `MATMUL_MAX_BINS` in mp3net/dsp/mdct.py. Beside it torch.stft of the same window and hop (no MDCT, for scale) and,
where the package is installed (pip install torch-mdct), torch-mdct; the other way, their inverses.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from mp3net.dsp import mdct as module

Transform = Callable[[Tensor], Tensor]

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
    parser.add_argument("--runs", type=int, default=15)
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
                calls = (partial(module.mdct, audio, num_bins), partial(module.imdct, coefficients))
                row = [timing(call, options.runs) for call in calls]
            error = float((coefficients - exact).abs().max())
            print(f"{num_bins:5d} bins  {name:10s} there {row[0]:22s} back {row[1]:22s} largest error {error:.1e}")
        for name, there, back in others(num_bins):
            with torch.inference_mode():
                spectrum = there(audio)
                row = [timing(partial(there, audio), options.runs), timing(partial(back, spectrum), options.runs)]
            print(f"{num_bins:5d} bins  {name:10s} there {row[0]:22s} back {row[1]:22s}")


def timing(call: Callable[[], object], runs: int) -> str:
    times = milliseconds(call, runs)
    return f"{statistics.median(times):6.1f} ({min(times):.1f}-{max(times):.1f})"


def others(num_bins: int) -> list[tuple[str, Transform, Transform]]:
    """Name, transform and inverse of what others offer."""
    hann = torch.hann_window(2 * num_bins)

    def stft(audio: Tensor) -> Tensor:
        return torch.stft(audio, 2 * num_bins, num_bins, window=hann, return_complex=True)

    def istft(spectrum: Tensor) -> Tensor:
        return torch.istft(spectrum, 2 * num_bins, num_bins, window=hann)

    found: list[tuple[str, Transform, Transform]] = [("torch.stft", stft, istft)]
    if importlib.util.find_spec("torch_mdct"):
        package = importlib.import_module("torch_mdct")
        w = package.vorbis(2 * num_bins)
        found.append(("torch-mdct", lambda x: package.mdct(x, w), lambda x: package.imdct(x, w)))
    return found


if __name__ == "__main__":
    main()
