"""What the parts of a longer song have in common: songs from one pass beside shorter ones joined, judged alike.

    python benchmarks/together.py DATA RUN [--clips 128] [--share 0.25]

Clips of 5.9 s from DATA are the reference. Judged: songs of that length from one pass, whose parts share the global latent,
and the same with local latents correlated between parts, without attention between parts, and with a global latent of 0; and
shorter songs and recordings, 1.46 s each, joined one after
the other: independent ones, and songs with one of their latents in common. What is judged no worse with a latent in common
does not depend on it. --share puts another `model.global_share` in the place of the one that the networks were trained with,
and measures the levels of songs anew.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from lab.judges import FIRST_SEED, FLOOR_SEED, REFERENCE_SEED, Judge, real_clips
from lab.worker import CLIPS
from torch import Tensor

from mp3net.config import Mp3net2Model, override
from mp3net.data.dataset import CropDataset
from mp3net.dsp.mdct import imdct
from mp3net.generation import MP3net
from mp3net.model.mp3net2.generator import Generator
from mp3net.model.mp3net2.layers import Attention
from mp3net.training.levels import data_magnitudes, levelled

CORRELATIONS = (0.0, 0.5, 0.8, 1.0)


def related(z: Tensor, model: Mp3net2Model, correlation: float) -> Tensor:
    """Latents (B, N) whose parts have local latents of that correlation between any two, each still of variance 1.

    The mean m of n independent ones has the variance 1/n, what is left d_i 1 - 1/n. So a m + b d_i is wanted, with
    b^2 = 1 - correlation and a^2 = 1 + (n - 1) correlation.
    """
    z = z.clone()
    parts = z[:, model.global_dim + model.phase_dim :].view(len(z), -1, model.part_size)
    local = parts[..., : model.local_dim]
    mean = local.mean(1, keepdim=True)
    shared = (1 + (parts.shape[1] - 1) * correlation) ** 0.5 * mean
    parts[..., : model.local_dim] = shared + (1 - correlation) ** 0.5 * (local - mean)
    return z


def related_songs(model: MP3net, duration_s: float, count: int, correlation: float, style: float = 1.0) -> np.ndarray:
    """Songs (n, C, S) from one pass each; their global latents are multiplied by `style`."""
    settings = second_family(model)
    made = []
    with torch.inference_mode():
        for seed in range(FIRST_SEED, FIRST_SEED + count):
            z = related(model.latent(seed, duration_s), settings, correlation)
            z[:, : settings.global_dim] *= style
            made.append(imdct(model.coefficients(z), model.config.audio.window).numpy())
    return np.concatenate(made)


def short_songs(model: MP3net, duration_s: float, groups: int, size: int, same: slice) -> np.ndarray:
    """Songs (size groups, C, S), every group's first before every second; a group has the numbers `same` in common."""
    made = []
    with torch.inference_mode():
        for seed in range(FIRST_SEED, FIRST_SEED + groups * size, size):
            z = torch.cat([model.latent(seed + number, duration_s) for number in range(size)])
            z[:, same] = z[:1, same].clone()
            made.append(imdct(model.coefficients(z), model.config.audio.window).numpy())
    return np.stack(made, 1).reshape(size * groups, *made[0].shape[1:])


def latents(model: MP3net) -> dict[str, slice]:
    """Where in the latents of a song of one part each of them is."""
    settings = second_family(model)
    style = settings.global_dim
    local = style + settings.phase_dim
    return {
        "nothing": slice(0, 0),
        "the global latent": slice(0, style),
        "the phases": slice(style, local),
        "the local latent": slice(local, local + settings.local_dim),
    }


def within_parts(frames: int) -> Callable[[Attention, Tensor], Tensor]:
    """The attention, as if every part of so many frames were alone."""
    forward = Attention.forward

    def alone(self: Attention, x: Tensor) -> Tensor:
        return forward(self, x.reshape(-1, frames, x.shape[-1])).reshape(x.shape)

    return alone


def second_family(model: MP3net) -> Mp3net2Model:
    settings = model.config.model
    if not isinstance(settings, Mp3net2Model):
        raise SystemExit("this benchmark is for snapshots of the second family: presets mp3net2-*")
    return settings


def take_share(model: MP3net, data: Path, share: float) -> None:
    """Another `global_share`, and the levels of songs of four parts measured anew with it."""
    second_family(model)
    longer = override(model.config, ["model.num_parts=4", f"model.global_share={share}"])
    assert isinstance(longer.model, Mp3net2Model)
    assert isinstance(model.generator, Generator)
    model.generator.config = longer.model
    magnitudes = data_magnitudes(CropDataset(data, longer.track_samples), longer)
    model.generator.bin_levels.copy_(levelled(model.generator, longer, magnitudes))


def joined(clips: np.ndarray, samples: int) -> np.ndarray:
    """(p n, C, S) -> (n, C, samples): p clips one after the other."""
    pieces = -(-samples // clips.shape[-1])
    return np.concatenate(np.split(clips, pieces), -1)[..., :samples]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("run", type=Path, help="a run directory or a snapshot")
    parser.add_argument("--clips", type=int, default=CLIPS["6s"][1])
    parser.add_argument("--share", type=float, help="global_share; default: that of the run")
    options = parser.parse_args()
    model = MP3net.from_pretrained(options.run)
    if options.share is not None:
        take_share(model, options.data, options.share)
    rate = model.config.audio.sample_rate_hz
    samples, short = (round(CLIPS[name][0] * rate) for name in ("6s", "1.5s"))
    judge = Judge(real_clips(options.data, "heldout", samples, options.clips, REFERENCE_SEED), rate, notes=True)
    names = ("kernel_logmel", "coverage_logmel", "kernel_notes", "coverage_notes", "confident_share")
    print(f"| clips | {' | '.join(names)} |\n|{'---|' * (len(names) + 1)}")

    def show(name: str, clips: np.ndarray) -> None:
        found = judge(clips[..., :samples])
        print(f"| {name} | {' | '.join(f'{found[reading]:.4g}' for reading in names)} |", flush=True)

    pieces = -(-samples // short)
    clips = real_clips(options.data, "train", short, pieces * options.clips, FLOOR_SEED)
    show("short recordings, joined", joined(clips, samples))
    for name, same in latents(model).items():
        clips = short_songs(model, short / rate, options.clips, pieces, same)[..., :short]
        show(f"short songs, joined, {name} in common", joined(clips, samples))
    for correlation in CORRELATIONS:
        made = related_songs(model, samples / rate, options.clips, correlation)
        show(f"from one pass, correlation {correlation}", made)
    with patch.object(Attention, "forward", within_parts(second_family(model).base_frames)):
        made = related_songs(model, samples / rate, options.clips, 0.0)
        show("from one pass, each part attends to itself alone", made)
    show("from one pass, the global latent 0", related_songs(model, samples / rate, options.clips, 0.0, style=0.0))


if __name__ == "__main__":
    main()
