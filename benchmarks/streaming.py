"""Streams: how soon the first second is there, how fast the rest, and what memory they take above imports and weights.

    python benchmarks/streaming.py [--snapshot PATH | --preset piano-95s] [--duration 95] [--window 5] [--precision bfloat16]

Without either, the bundled snapshot. A preset has fresh weights. Three streams one after the other in this process: the
first also warms up what the others find ready.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

from mp3net import MP3net
from mp3net.config import preset
from mp3net.model.snapshot import save_snapshot


def fresh(name: str, precision: str) -> MP3net:
    import torch

    from mp3net.model.build import build_generator

    generator = build_generator(preset(name))
    generator.initialise(torch.Generator().manual_seed(0))
    with tempfile.TemporaryDirectory() as folder:
        save_snapshot(Path(folder) / "fresh", preset(name), generator.state_dict(), None, {})
        return MP3net.from_pretrained(Path(folder) / "fresh", precision=precision)  # type: ignore[arg-type]


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--snapshot", type=Path)
    parser.add_argument("--preset")
    parser.add_argument("--duration", type=float)
    parser.add_argument("--window", type=float, default=5.0)
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    options = parser.parse_args()
    if options.preset:
        model = fresh(options.preset, options.precision)
    else:
        model = MP3net.from_pretrained(options.snapshot, precision=options.precision)
    before = peak_mib()
    for number in range(3):
        started = time.perf_counter()
        stream = model.stream(number, options.window, options.duration)
        samples = next(stream).shape[1]
        first_s = time.perf_counter() - started
        samples += sum(piece.shape[1] for piece in stream)
        took_s, duration_s = time.perf_counter() - started, samples / model.config.audio.sample_rate_hz
        name = options.preset or options.snapshot or "bundled"
        print(
            f"{name} by {model.player.name}, windows of {options.window:g} s: first second after {1000 * first_s:.0f} ms, "
            f"{duration_s:.1f} s in {took_s:.2f} s ({duration_s / took_s:.0f} times real time), peak memory "
            f"{peak_mib() - before:.0f} MiB above {before:.0f} MiB of imports and weights",
            flush=True,
        )


if __name__ == "__main__":
    main()
