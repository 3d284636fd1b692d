"""The generator's strided layers at the sizes of piano-95s: PyTorch's transposed convolution against ours.

    python benchmarks/transposed.py [--runs 5]

Ours is the kernel of a convolution's gradient towards its input: the reason for `transposed` in
mp3net/model/convolution.py. Rates count the nine products per input; ours has its leaky ReLU in it, the other has none.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
import torch.nn.functional as F

from mp3net.model.paper.layers import LEAKY_SLOPE, ConvTranspose, initialise

# channels in, channels out, frames, bins: the second strided layer of blocks 2 to 5
SIZES = [(512, 512, 128, 16), (512, 256, 512, 32), (128, 64, 2048, 64), (32, 16, 8192, 128)]


def median_s(call, runs: int) -> float:
    call()
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}; GFLOP/s at the median of {options.runs} runs")
    for channels_in, channels_out, frames, bins in SIZES:
        gflop = 2 * 9 * channels_in * channels_out * frames * bins / 1e9
        for dtype in (torch.float32, torch.bfloat16):
            layer = ConvTranspose(channels_in, channels_out, (2, 1))
            initialise(layer, torch.Generator().manual_seed(0))
            layer = layer.to(memory_format=torch.channels_last, dtype=dtype)
            x = torch.randn(1, channels_in, frames, bins, dtype=dtype).contiguous(memory_format=torch.channels_last)

            def plain(layer=layer, x=x, frames=frames):
                return F.conv_transpose2d(x, layer.weight, layer.bias, (2, 1), (0, 1))[..., : 2 * frames, :]

            with torch.inference_mode():
                expected = F.leaky_relu(plain(), LEAKY_SLOPE)
                difference = float((expected - layer(x)).abs().max() / expected.abs().max())
                rates = [gflop / median_s(call, options.runs) for call in (plain, lambda layer=layer, x=x: layer(x))]
            print(
                f"{channels_in:4d} -> {channels_out:4d}, {frames} x {bins}, {str(dtype)[6:]:8s}: "
                f"transposed {rates[0]:4.0f}, ours {rates[1]:4.0f}, relative difference {difference:.0e}"
            )


if __name__ == "__main__":
    main()
