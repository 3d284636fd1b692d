"""The pictures in docs/: spectrograms of held-out and generated clips side by side, and the curves of runs.

    python benchmarks/pictures.py DATA docs/images RUN... [--judged CSV...] [--snapshot FOLDER] [--seconds S]

The metrics of the curves are those of the light evaluation in training, or, with --judged, of files of benchmarks/judge.py
that have a column "run" (benchmarks/lab/earlier).

Also prints the tonality and level of 64 held-out and 64 generated clips, with standard errors over the clips.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from mp3net.data.dataset import CropDataset
from mp3net.dsp.mdct import mdct
from mp3net.dsp.psychoacoustics import tonality
from mp3net.figures import save_png, spectrogram_grid
from mp3net.generation import MP3net

# A run has the lines of its own family.
CURVES = {
    "score gap": ["distance/wasserstein", "score/gap"],
    "gradient penalty": ["penalty/gradient"],
    "level, dB re full scale of coefficients": ["level_db/real", "level_db/generated"],
    "of the recordings' profile by beat and key": ["beat/followed", "key/followed"],
}
EVALUATIONS = {
    "octave flatness": ["evaluation/octave_flatness_real", "evaluation/octave_flatness"],
    "kernel distance, log-mel": ["evaluation/kernel_logmel"],
    "coverage, log-mel": ["evaluation/coverage_logmel"],
    "a classifier's error on pairs": ["evaluation/pair_error"],
}
LOGARITHMIC = ("gradient penalty", "kernel distance, log-mel")
CLIPS = 64
PICTURED = 4
COLOURS = 128  # of spectrograms: pictures of so many lines are large enough as they are


def draw_judged(files: list[Path], panels: dict[str, Axes]) -> None:
    """The rows of each "run" in the files; rows without tracks seen (training clips in their place) are level lines."""
    colours = itertools.count()
    for file in files:
        with file.open(newline="") as rows:
            lines = list(csv.DictReader(rows))
        for run in dict.fromkeys(line["run"] for line in lines):
            own = [line for line in lines if line["run"] == run]
            colour = f"C{next(colours)}"
            for title, names in EVALUATIONS.items():
                column = names[-1].removeprefix("evaluation/")
                if column not in own[0]:
                    continue
                tracks, values = zip(*[(int(line["tracks_seen"]) / 1000, float(line[column])) for line in own], strict=True)
                if any(tracks):
                    panels[title].plot(tracks, values, label=f"{file.stem}: {run}", linewidth=1, color=colour)
                else:
                    panels[title].axhline(values[0], label=f"{file.stem}: {run}", linewidth=1, color=colour, linestyle="--")


def curves(runs: list[Path], judged: list[Path]) -> Figure:
    """One panel per quantity, over the tracks seen; runs one after the other, each from its own zero."""
    figure = Figure(figsize=(17, 6), layout="constrained")
    panels = dict(zip(CURVES | EVALUATIONS, figure.subplots(2, 4).flat, strict=True))
    for run in runs:
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        for title, names in (CURVES if judged else CURVES | EVALUATIONS).items():
            for name in names:
                points = [(line["tracks_seen"] / 1000, line[name]) for line in lines if name in line]
                if points:
                    panels[title].plot(*zip(*points, strict=True), label=f"{run.name}: {name}", linewidth=1)
    draw_judged(judged, panels)
    for title, axis in panels.items():
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("thousand tracks seen")
        axis.grid(alpha=0.3)
        if title in CURVES or not judged:
            axis.legend(fontsize=7)
        if title in LOGARITHMIC:
            axis.set_yscale("log")
    if judged:
        lines, labels = panels["octave flatness"].get_legend_handles_labels()
        figure.legend(lines, labels, fontsize=7, ncols=3, loc="outside lower center")
    return figure


def save_small(figure: Figure, path: Path) -> None:
    """A PNG of COLOURS colours."""
    save_png(figure, path)
    Image.open(path).convert("RGB").quantize(COLOURS).save(path, optimize=True)


def describe(name: str, clips: torch.Tensor, num_bins: int) -> None:
    coefficients = mdct(clips, num_bins, edges="crop")
    tones = tonality(coefficients).mean(dim=(1, 2, 3)).numpy()
    levels = (10 * torch.log10(coefficients.square().mean(dim=(1, 2, 3)) + 1e-14)).numpy()
    error = [float(np.std(values, ddof=1) / len(values) ** 0.5) for values in (tones, levels)]
    tone, level = f"{tones.mean():.3f} +- {error[0]:.3f}", f"{levels.mean():.1f} +- {error[1]:.1f} dB"
    print(f"{name}: tonality {tone}, level {level}, n = {len(tones)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument(
        "--judged", type=Path, nargs="+", default=[], help="files of judge.py in place of the runs' evaluations"
    )
    parser.add_argument("--seconds", type=float, help="length of the clips; default: the model's tracks")
    parser.add_argument("--snapshot", type=Path, help="default: the bundled one")
    options = parser.parse_args()
    model = MP3net.from_pretrained(options.snapshot)
    config = model.config
    rate, num_bins = config.audio.sample_rate_hz, config.audio.num_bins
    songs = [model.generate(seed, options.seconds).audio for seed in range(1, CLIPS + 1)]
    real = CropDataset(options.data, songs[0].shape[1] + 2 * num_bins, "heldout").batch(0, 0, CLIPS)
    whole_hops = songs[0].shape[1] // num_bins * num_bins
    describe("held out", real[..., :whole_hops], num_bins)
    describe("generated", torch.from_numpy(np.stack(songs))[..., :whole_hops], num_bins)
    options.out.mkdir(parents=True, exist_ok=True)
    rows = [("real", list(real[:PICTURED].numpy())), ("generated", songs[:PICTURED])]
    save_small(spectrogram_grid(rows, rate), options.out / "real-and-generated.png")
    save_png(curves(options.runs, options.judged), options.out / "training-curves.png")


if __name__ == "__main__":
    main()
