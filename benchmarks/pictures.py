"""The pictures in docs/: spectrograms of held-out and generated clips side by side, and the curves of a run.

    python benchmarks/pictures.py DATA RUN docs/images [--snapshot FOLDER]

Also prints the tonality and level of 64 held-out and 64 generated clips, with standard errors over the clips.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from mp3net.data.dataset import CropDataset
from mp3net.dsp.mdct import mdct
from mp3net.dsp.psychoacoustics import tonality
from mp3net.figures import save_png, spectrogram_grid
from mp3net.generation import MP3net

CURVES = {
    "score gap (Wasserstein estimate)": ["distance/wasserstein"],
    "gradient penalty": ["penalty/gradient"],
    "tonality": ["tonality/real", "tonality/generated"],
    "level, dB re full scale of coefficients": ["level_db/real", "level_db/generated"],
}
CLIPS = 64


def curves(run: Path) -> Figure:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    seen = [line["tracks_seen"] / 1000 for line in lines]
    figure = Figure(figsize=(10, 5.5), layout="constrained")
    for axis, (title, names) in zip(figure.subplots(2, 2).flat, CURVES.items(), strict=True):
        for name in names:
            axis.plot(seen, [line[name] for line in lines], label=name.rpartition("/")[2], linewidth=1)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("thousand tracks seen")
        axis.grid(alpha=0.3)
        if len(names) > 1:
            axis.legend()
        if title == "gradient penalty":
            axis.set_yscale("log")
    return figure


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
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--snapshot", type=Path, help="default: the bundled one")
    options = parser.parse_args()
    model = MP3net.from_pretrained(options.snapshot)
    config = model.config
    rate, num_bins = config.audio.sample_rate_hz, config.audio.num_bins
    real = CropDataset(options.data, config.track_samples, "heldout").batch(0, 0, CLIPS)
    songs = [model.generate(seed).audio for seed in range(1, CLIPS + 1)]
    whole_hops = songs[0].shape[1] // num_bins * num_bins
    describe("held out", real[..., :whole_hops], num_bins)
    describe("generated", torch.from_numpy(np.stack(songs))[..., :whole_hops], num_bins)
    options.out.mkdir(parents=True, exist_ok=True)
    rows = [("real", list(real[:4].numpy())), ("generated", songs[:4])]
    save_png(spectrogram_grid(rows, rate), options.out / "real-and-generated.png")
    save_png(curves(options.run), options.out / "training-curves.png")


if __name__ == "__main__":
    main()
