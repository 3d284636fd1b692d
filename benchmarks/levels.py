"""By what songs are brought to the level of the data: mean powers or magnitudes, of how many songs.

    python benchmarks/levels.py DATA RUN [--songs 32 384] [--exponents 2 1] [--seeds 1]

Clips of 5.9 s of the same seeds, as the snapshot makes them and with bin levels measured anew: in every bin the mean of
|coefficient|^exponent over so many songs of other seeds is made that of as many crops as the largest number of songs. What
is left between the rows of different --seeds is chance.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from lab.judges import REFERENCE_SEED, Judge, real_clips, songs
from lab.worker import CLIPS
from torch import Tensor

from mp3net.dsp.mdct import mdct
from mp3net.generation import MP3net
from mp3net.model.mp3net2.generator import Generator
from mp3net.training.levels import SMOOTHED_BINS

CROP_SEED, SONG_SEED = 77, 999
NAMES = ("kernel_logmel", "coverage_logmel", "frechet_logmel", "level_error_db")


def level(magnitudes: Tensor, exponent: float) -> Tensor:
    """(n, T, F) -> (F,): the mean of powers over songs and frames, as a magnitude, over a few bins."""
    mean = magnitudes.pow(exponent).mean((0, 1)).pow(1 / exponent)
    margin = SMOOTHED_BINS // 2
    return F.avg_pool1d(F.pad(mean[None, None], (margin, margin), mode="replicate"), SMOOTHED_BINS, 1)[0, 0]


def gathered(count: int, piece: Callable[[int], Tensor]) -> Tensor:
    """Magnitudes (n, T, F) of n pieces (1, C, T, F)."""
    return torch.cat([piece(number).abs().mean(1) for number in range(count)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("run", type=Path, help="a run directory or a snapshot of the second family")
    parser.add_argument("--songs", type=int, nargs="+", default=[32, 384])
    parser.add_argument("--exponents", type=float, nargs="+", default=[2.0, 1.0])
    parser.add_argument("--seeds", type=int, default=1, help="how many times with other songs")
    options = parser.parse_args()
    model = MP3net.from_pretrained(options.run)
    generator, config = model.generator, model.config
    if not isinstance(generator, Generator):
        raise SystemExit("this benchmark is for snapshots of the second family: presets mp3net2-*")
    duration_s, count = CLIPS["6s"]
    rate = config.audio.sample_rate_hz
    samples = round(duration_s * rate)
    judge = Judge(real_clips(options.data, "heldout", samples, count, REFERENCE_SEED), rate, notes=False)
    print(f"| songs | exponent | seed | {' | '.join(NAMES)} |\n|{'---|' * (len(NAMES) + 3)}")

    def show(*how: object) -> None:
        found = judge(songs(model, samples / rate, count)[..., :samples])
        print(f"| {' | '.join(map(str, how))} | {' | '.join(f'{found[name]:.3g}' for name in NAMES)} |", flush=True)

    most = max(options.songs)
    crops = torch.from_numpy(real_clips(options.data, "train", config.track_samples, most, CROP_SEED))
    data = gathered(most, lambda number: mdct(crops[number : number + 1], config.audio.num_bins, edges="crop"))
    before = generator.bin_levels.clone()
    show("as it is", "", "")
    for seed in range(options.seeds):
        source = torch.Generator().manual_seed(SONG_SEED + seed)
        size = config.model.latent_size(config.model.num_frames)
        generator.bin_levels.copy_(before)
        made = gathered(most, lambda _: model.coefficients(torch.randn(1, size, generator=source)))  # noqa: B023
        for number in options.songs:
            for exponent in options.exponents:
                generator.bin_levels.copy_(before * level(data, exponent) / level(made[:number], exponent))
                show(number, f"{exponent:g}", seed)


if __name__ == "__main__":
    main()
