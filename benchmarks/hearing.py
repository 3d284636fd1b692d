"""Where songs differ from recordings below what is heard: their levels relative to the masking threshold.

    python benchmarks/hearing.py DATA RUN [--clips 64]

The table has, for bands of frequencies, percentiles of the baseband's level relative to the masking threshold of the clip
itself, in dB, over all frames and bins of the clips: of held-out recordings, and of songs of the snapshot.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from lab.judges import FIRST_SEED, REFERENCE_SEED, real_clips, songs
from torch import Tensor

from mp3net.config import AudioConfig
from mp3net.dsp.baseband import baseband
from mp3net.dsp.mdct import mdct
from mp3net.dsp.psychoacoustics import INTENSITY_FLOOR, Psychoacoustics
from mp3net.generation import MP3net

EDGES_HZ = (40, 540, 1300, 2600, 4300)
PERCENTILES = (5, 10, 25, 50, 75, 90, 95)
# -90 dB, so that silence stays finite.
RATIO_FLOOR = 1e-9


def over_threshold_db(clips: Tensor, audio: AudioConfig) -> Tensor:
    """Clips (B, C, S) -> level of the baseband relative to the masking threshold, in dB, (B, C, T, F)."""
    i, q = baseband(mdct(clips, audio.num_bins, audio.window, edges="crop"), audio.window)
    power = i.square() + q.square()
    threshold = Psychoacoustics(audio.sample_rate_hz, audio.num_bins).masking_threshold((power + INTENSITY_FLOOR).sqrt())
    return 10 * torch.log10(power / threshold.square() + RATIO_FLOOR)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("run", type=Path, help="a run directory or a snapshot")
    parser.add_argument("--clips", type=int, default=64)
    options = parser.parse_args()
    model = MP3net.from_pretrained(options.run)
    audio = model.config.audio
    made = songs(model, model.config.track_duration_s, options.clips, FIRST_SEED)
    held = real_clips(options.data, "heldout", made.shape[-1], options.clips, REFERENCE_SEED)
    print(f"| band, Hz | clips | {' | '.join(f'{percent} %' for percent in PERCENTILES)} |")
    print("|" + "---|" * (len(PERCENTILES) + 2))
    edges = np.round(np.array(EDGES_HZ) * 2 * audio.num_bins / audio.sample_rate_hz).astype(int)
    for name, clips in (("recordings", held), ("songs", made)):
        level_db = over_threshold_db(torch.from_numpy(clips), audio).numpy()
        for number, (low_hz, high_hz) in enumerate(pairwise(EDGES_HZ)):
            found = np.percentile(level_db[..., edges[number] : edges[number + 1]], PERCENTILES)
            print(f"| {low_hz}-{high_hz} | {name} | {' | '.join(f'{value:.0f}' for value in found)} |")


if __name__ == "__main__":
    main()
