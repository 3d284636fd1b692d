"""Clips as a discriminator of the second family hears them in training."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lab.judges import REFERENCE_SEED, real_clips, songs
from lab.worker import CLIPS
from mp3net.config import AudioConfig
from mp3net.dsp.mdct import mdct
from mp3net.dsp.psychoacoustics import Psychoacoustics
from mp3net.generation import MP3net
from mp3net.model.build import build_networks
from mp3net.model.mp3net2.discriminator import Discriminator
from mp3net.model.mp3net2.front_end import FrontEnd
from mp3net.model.snapshot import open_snapshot

TRAINING_SEED, OTHER_SEED = 7, 8


class Ears:
    """The front-end of a snapshot, and the format of what it hears."""

    def __init__(self, run: Path) -> None:
        snapshot = open_snapshot(run)
        discriminator = build_networks(snapshot.config).discriminator
        snapshot.load_discriminator(discriminator)
        assert isinstance(discriminator, Discriminator)
        self.front_end: FrontEnd = discriminator.front_end
        self.audio: AudioConfig = snapshot.config.audio
        hidden = snapshot.config.objective.masking_noise
        grid = "exact" if hidden is None else hidden.grid
        self.psychoacoustics = Psychoacoustics(self.audio.sample_rate_hz, self.audio.num_bins, grid=grid)

    @torch.inference_mode()
    def features(self, clips: np.ndarray, noise: torch.Generator | None = None) -> Iterator[Tensor]:
        """Clips (n, C, S) -> the features (1, T, 6, C, F) of each, with masking noise if there is `noise` to draw it."""
        coefficients = mdct(torch.from_numpy(clips).float(), self.audio.num_bins, self.audio.window, edges="crop")
        if noise is not None:
            coefficients = self.psychoacoustics.add_masking_noise(coefficients, noise)
        for one in coefficients:
            yield self.front_end(one[None])


def data_and_runs(described: str | None) -> argparse.Namespace:
    """What a script that listens with `Ears` is given: `data` and `runs`, of which the first one's front-end hears."""
    parser = argparse.ArgumentParser(description=described, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path, nargs="+", help="snapshots of the second family; the first one's front-end hears")
    return parser.parse_args()


def clips_beside(data: Path, runs: Sequence[Path], audio: AudioConfig, count: int) -> Iterator[tuple[str, np.ndarray]]:
    """Clips (count, C, S) of 5.9 s, by name: of training recordings, of others, held out, and of each run."""
    samples = round(CLIPS["6s"][0] * audio.sample_rate_hz) // audio.num_bins * audio.num_bins
    yield "training recordings", real_clips(data, "train", samples, count, TRAINING_SEED)
    yield "other training recordings", real_clips(data, "train", samples, count, OTHER_SEED)
    yield "held out", real_clips(data, "heldout", samples, count, REFERENCE_SEED)
    for run in runs:
        yield str(run), songs(MP3net.from_pretrained(run), samples / audio.sample_rate_hz, count)[..., :samples]
