"""How long ONNX Runtime takes for a song of an exported preset with fresh weights, beside PyTorch in the same process.

    python benchmarks/onnx_times.py [PRESET ...]

Both in float32 on the CPU, from latents to audio, one after the other in turn: medians and ranges of 9 songs each.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import onnxruntime
import torch

from mp3net import MP3net
from mp3net.config import preset
from mp3net.export.onnx import export_onnx
from mp3net.model.build import build_generator

RUNS = 9


def main() -> None:
    for name in sys.argv[1:] or ["mp3net2-95s", "mp3net2-44k", "mp3net2-6s"]:
        generator = build_generator(preset(name))
        generator.initialise(torch.Generator().manual_seed(0))
        model = MP3net(generator.eval().requires_grad_(False), preset(name))
        with tempfile.TemporaryDirectory() as folder:
            made = export_onnx(model, Path(folder) / "model.onnx")
            session = onnxruntime.InferenceSession(str(made.path), providers=["CPUExecutionProvider"])
        z = model.latent(1)
        by_onnx, by_torch = [], []
        for _ in range(RUNS):
            started = time.perf_counter()
            session.run(None, {"z": z.numpy()})
            middle = time.perf_counter()
            model.render(z)
            by_onnx.append(middle - started)
            by_torch.append(time.perf_counter() - middle)
        ratio = statistics.median(by_onnx) / statistics.median(by_torch)
        print(f"{name}: ONNX Runtime {told(by_onnx)}, PyTorch {told(by_torch)}, {ratio:.2f} times; ", end="")
        print(f"they differ by {made.error:.1g} of the peak")


def told(times_s: list[float]) -> str:
    return f"{statistics.median(times_s):.3f} s ({min(times_s):.3f}-{max(times_s):.3f})"


if __name__ == "__main__":
    main()
