"""Clicks and seams of long songs: the steepest steps around the borders between parts, and elsewhere.

    python benchmarks/seams.py [SNAPSHOT] [--seconds 60] [--seeds 8]

A line for each seed: its peak, the largest difference between neighbouring samples within AROUND samples of a border and
elsewhere, and how much louder the surroundings of borders are than the rest. A second-family snapshot; default: the bundled
one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from mp3net.config import Mp3net2Model
from mp3net.generation import MP3net

# A hop of the bundled snapshot, 256 samples, and 300 more.
AROUND = 556


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("snapshot", type=Path, nargs="?")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seeds", type=int, default=8)
    options = parser.parse_args()
    model = MP3net.from_pretrained(options.snapshot)
    assert isinstance(model.config.model, Mp3net2Model), "songs of the paper's networks have no parts"
    part = model.config.model.frames_per_part * model.config.audio.hop_length
    for seed in range(1, options.seeds + 1):
        audio = model.generate(seed, options.seconds).audio.mean(0)
        steps = np.abs(np.diff(audio))
        near = np.zeros(len(steps), bool)
        for border in range(part, len(audio) - part, part):
            near[border - AROUND : border + AROUND] = True
        power = audio[:-1] ** 2
        louder_db = 10 * np.log10(power[near].mean() / power[~near].mean())
        print(
            f"seed {seed}: peak {np.abs(audio).max():.2f}, steepest step at borders {steps[near].max():.3f}, "
            f"elsewhere {steps[~near].max():.3f}; borders are {louder_db:+.1f} dB louder"
        )


if __name__ == "__main__":
    main()
