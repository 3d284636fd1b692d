"""What averaging does to a generator: a snapshot whose weights are the mean of the last weights of a run's checkpoints.

    python benchmarks/averages.py RUN OUT [--count K] [--until TRACKS] [--half-life TRACKS] [--level DATA]
    python benchmarks/judge.py DATA OUT

The checkpoints are the last K kept ones up to TRACKS; K = 1 takes the weights that the discriminator judged last. They count
alike, or half as much for every half-life that they are older. Songs are as loud as the weights make them, or with --level
brought to the level of the data in every bin, as training does. For dense checkpoints train with
run.checkpoint_every_tracks=200 and run.keep_checkpoints=40.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from mp3net.config import Config
from mp3net.data.dataset import CropDataset
from mp3net.model.build import build_generator
from mp3net.model.mp3net2.generator import Generator
from mp3net.model.snapshot import GENERATOR_FILE, open_snapshot, save_snapshot
from mp3net.model.weights import load_tensors
from mp3net.training.checkpoint import saved_checkpoints
from mp3net.training.levels import data_magnitudes, levelled

WEIGHTS = "generator/weight/"
LEVELS = "generator/constant/bin_levels"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path, help="folder of the snapshot to make")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--until", type=int, default=10**12)
    parser.add_argument("--half-life", type=float, help="tracks; without it all count alike")
    parser.add_argument("--level", type=Path, metavar="DATA", help="bring every bin to its level in this dataset")
    options = parser.parse_args()
    found = sorted(path for path in saved_checkpoints(options.run) if int(path.name.rsplit("-")[-1]) <= options.until)
    chosen = found[-options.count :]
    if len(chosen) < options.count:
        raise SystemExit(f"{options.run}: {len(chosen)} checkpoints up to {options.until:,} tracks, {options.count} wanted")
    files = [load_tensors(path / "training.safetensors") for path in chosen]
    seen = torch.tensor([int(path.name.rsplit("-")[-1]) for path in chosen], dtype=torch.float64)
    shares = 0.5 ** ((seen[-1] - seen) / options.half_life) if options.half_life else torch.ones(len(files))
    shares = (shares / shares.sum()).float()
    snapshot = open_snapshot(chosen[-1])
    weights = load_tensors(snapshot.folder / GENERATOR_FILE)
    for name in weights:
        if WEIGHTS + name in files[0]:
            stacked = torch.stack([file[WEIGHTS + name] for file in files])
            weights[name] = torch.tensordot(shares, stacked, 1)
    if LEVELS in files[0]:
        weights["bin_levels"] = files[0][LEVELS]
        if options.level:
            weights["bin_levels"] = brought_to_level(weights, snapshot.config, options.level)
    save_snapshot(options.out, snapshot.config, weights, None, {**snapshot.metadata, "mean_of_checkpoints": len(files)})
    print(f"mean of {len(files)} checkpoints, {chosen[0].name} to {chosen[-1].name} -> {options.out}")


def brought_to_level(weights: dict[str, torch.Tensor], config: Config, data: Path) -> torch.Tensor:
    """The levels (F,) with which songs of these weights are as loud as the data in every bin."""
    generator = build_generator(config)
    assert isinstance(generator, Generator)
    generator.load_state_dict(weights)
    return levelled(generator, config, data_magnitudes(CropDataset(data, config.track_samples), config))


if __name__ == "__main__":
    main()
