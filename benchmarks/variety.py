"""What keeps songs from the variety of recordings: the statistics of their log-mel bands, and coverage without their bias.

    python benchmarks/variety.py DATA RUN

Clips of 5.9 s of the lab's seeds against held-out ones. For each statistic (mean, spread over time, mean step from frame to
frame), in groups of five of the 40 bands from low to high, in standard deviations of recordings: how far the mean over
songs is off; and the standard deviation over songs, 1 being recordings'. Then coverage and kernel distance of the clips as
they are, and moved by the bias of all statistics.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from lab.judges import REFERENCE_SEED, real_clips, songs
from lab.worker import CLIPS

from mp3net.evaluation.distribution import Distances, density_and_coverage, kernel_distance
from mp3net.evaluation.embeddings import LogMel
from mp3net.generation import MP3net

STATISTICS = ("mean", "spread", "step")
AT_A_TIME = 16


def embedded(clips: np.ndarray, rate: int) -> np.ndarray:
    """Clips (n, C, S) -> (n, 120): 40 bands of each statistic."""
    logmel = LogMel()
    return np.concatenate([logmel(clips[i : i + AT_A_TIME], rate) for i in range(0, len(clips), AT_A_TIME)])


def shown(values: np.ndarray) -> str:
    return " ".join(f"{value:5.2f}" for value in values.reshape(8, 5).mean(1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("run", type=Path, help="a run directory or a snapshot of the second family")
    options = parser.parse_args()
    model = MP3net.from_pretrained(options.run)
    rate, (clip_s, count) = model.config.audio.sample_rate_hz, CLIPS["6s"]
    samples = round(clip_s * rate)
    real = embedded(real_clips(options.data, "heldout", samples, 2 * count, REFERENCE_SEED), rate)
    made = embedded(songs(model, samples / rate, count)[..., :samples], rate)
    bias, deviation = made.mean(0) - real.mean(0), real.std(0)
    for number, name in enumerate(STATISTICS):
        bands = slice(40 * number, 40 * number + 40)
        print(f"{name:6} off by {shown((bias / deviation)[bands])}   over songs {shown((made.std(0) / deviation)[bands])}")
    rows = np.arange(count)
    for name, clips in (("as they are", made), ("without bias", made - bias)):
        distances = Distances(real[:count], clips)
        coverage = density_and_coverage(distances, rows, rows)[1]
        print(f"{name}: coverage {coverage:.3f}, kernel distance {kernel_distance(distances, rows, rows):.2f}")


if __name__ == "__main__":
    main()
