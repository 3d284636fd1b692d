"""What averaging does to a generator: a snapshot whose weights are the mean of the last weights of a run's checkpoints.

    python benchmarks/averages.py RUN OUT [--count K] [--until TRACKS]
    python benchmarks/judge.py DATA OUT

The checkpoints are the last K kept ones up to TRACKS; K = 1 takes the weights that the discriminator judged last. For dense
ones train with run.checkpoint_every_tracks=200 and run.keep_checkpoints=40.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from mp3net.model.snapshot import GENERATOR_FILE, load_tensors, open_snapshot, save_snapshot
from mp3net.training.checkpoint import saved_checkpoints

WEIGHTS = "generator/weight/"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path, help="folder of the snapshot to make")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--until", type=int, default=10**12)
    options = parser.parse_args()
    found = sorted(path for path in saved_checkpoints(options.run) if int(path.name.rsplit("-")[-1]) <= options.until)
    chosen = found[-options.count :]
    if len(chosen) < options.count:
        raise SystemExit(f"{options.run}: {len(chosen)} checkpoints up to {options.until:,} tracks, {options.count} wanted")
    files = [load_tensors(path / "training.safetensors") for path in chosen]
    snapshot = open_snapshot(chosen[-1])
    weights = load_tensors(snapshot.folder / GENERATOR_FILE)
    for name in weights:
        if WEIGHTS + name in files[0]:  # the levels of the bins are not trained
            weights[name] = torch.stack([file[WEIGHTS + name] for file in files]).mean(0)
    save_snapshot(options.out, snapshot.config, weights, None, {**snapshot.metadata, "mean_of_checkpoints": len(files)})
    print(f"mean of {len(files)} checkpoints, {chosen[0].name} to {chosen[-1].name} -> {options.out}")


if __name__ == "__main__":
    main()
