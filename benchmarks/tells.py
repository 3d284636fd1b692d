"""What gives songs away: the blind pair test on parts of the log-mel spectrogram, and how levels are spread and rise.

    python benchmarks/tells.py DATA RUN...

72 clips of 5.9 s of the lab's seeds against held-out ones, first training recordings in their place. The share of pairs in
which the classifier (`evaluation/pairs.py`, one seed) is wrong: on whole excerpts, on thirds of the bands, on the mean over
time alone, without it, and on differences of consecutive frames. Then, in groups of five bands from low to high, the
standard deviation of the level in dB, and the rise per frame (12 ms) that one in a hundred exceeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from lab.judges import REFERENCE_SEED, real_clips, songs
from lab.worker import CLIPS

from mp3net.evaluation.embeddings import log_mel_db
from mp3net.evaluation.pairs import PairTest, excerpts
from mp3net.generation import MP3net

COUNT, TRAINING_SEED = 72, 7
Part = Callable[[np.ndarray], np.ndarray]
PARTS: dict[str, Part] = {
    "whole": lambda x: x,
    "low bands": lambda x: x[:, :, :13],
    "middle bands": lambda x: x[:, :, 13:26],
    "high bands": lambda x: x[:, :, 26:],
    "mean over time": lambda x: np.repeat(x.mean(-1, keepdims=True), x.shape[-1], -1),
    "without it": lambda x: x - x.mean(-1, keepdims=True),
    "differences": lambda x: np.diff(x, axis=-1),
}


def shown(by_band: np.ndarray) -> str:
    return " ".join(f"{value:.1f}" for value in by_band.reshape(8, 5).mean(1))


def levels(audio: np.ndarray, rate: int) -> str:
    """The spread of levels, and their largest rises."""
    level = log_mel_db(torch.from_numpy(audio), rate).numpy().reshape(len(audio), 40, -1)
    rises = np.quantile(np.diff(level, axis=-1), 0.99, axis=(0, 2))
    return f"spread {shown(level.std((0, 2)))} dB; rises {shown(rises)} dB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path, nargs="+", help="run directories or snapshots")
    options = parser.parse_args()
    models = {str(run): MP3net.from_pretrained(run) for run in options.runs}
    rate = next(iter(models.values())).config.audio.sample_rate_hz
    samples = round(CLIPS["6s"][0] * rate)
    real = real_clips(options.data, "heldout", samples, COUNT, REFERENCE_SEED).astype(np.float32)
    print("held out:", levels(real, rate), flush=True)
    expected, units = excerpts(real, rate)["levels"], np.arange(COUNT)
    for name in ("training recordings", *models):
        if name in models:
            judged = songs(models[name], samples / rate, COUNT)[..., :samples]
        else:
            judged = real_clips(options.data, "train", samples, COUNT, TRAINING_SEED)
        judged = judged.astype(np.float32)
        found = excerpts(judged, rate)["levels"]
        for part, of in PARTS.items():
            error = PairTest(of(expected), units, of(found), units, seeds=1).error(units, units)
            print(f"{name}, {part}: wrong in {100 * error:.0f} %", flush=True)
        print(f"{name}: {levels(judged, rate)}", flush=True)


if __name__ == "__main__":
    main()
