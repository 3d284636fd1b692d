"""How steady the notes of songs are, beside those of recordings: the ripple of loud bins, and how long notes last.

    python benchmarks/steadiness.py DATA RUN...
    python benchmarks/steadiness.py DATA RUN --without-noise

Clips of 5.9 s of the lab's seeds, 48 each. Ripple: the median change from frame to frame of the magnitude of bins that are
louder than the mean of their clip, in dB, and the share of these changes that rise, for bins 6-9, 10-15, 16-31 and 32-63.
Notes: as basic-pitch hears them, for three registers how many per second, the quartiles of their lengths in s, and the share
longer than 0.7 s.
`--without-noise` also makes the same songs without any noise in the generator's blocks.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from lab.judges import FIRST_SEED, REFERENCE_SEED, real_clips
from lab.worker import CLIPS

from mp3net.dsp.baseband import baseband
from mp3net.dsp.mdct import imdct, mdct
from mp3net.evaluation.notes import NoteModel, find_notes
from mp3net.generation import MP3net

COUNT = 48
BANDS = ((6, 10), (10, 16), (16, 32), (32, 64))
REGISTERS = ((40, 52), (52, 64), (64, 76))
LONG_S = 0.7
WINDOW = "vorbis"


def made(model: MP3net, duration_s: float, noise: bool) -> torch.Tensor:
    """Coefficients (n, C, T, F) of songs."""
    found = []
    family = model.config.model
    for seed in range(FIRST_SEED, FIRST_SEED + COUNT):
        z = torch.as_tensor(model.latent(seed, duration_s)).clone()
        if not noise:
            z[..., family.common_size :].view(-1, family.part_size)[:, family.local_dim :] = 0
        with torch.inference_mode():
            found.append(model.coefficients(z))
    return torch.cat(found).float().clone()


def ripple(coefficients: torch.Tensor) -> str:
    """For each band the median change in dB, and the share that rises."""
    i, q = baseband(coefficients, WINDOW)
    magnitude = (i.square() + q.square()).sqrt()[:, 0].numpy()
    shown = []
    for low, high in BANDS:
        band = magnitude[:, :, low:high]
        change = np.diff(20 * np.log10(band + 1e-3 * band.max()), axis=1)
        quieter = np.minimum(band[:, 1:], band[:, :-1])
        loud = change[quieter > quieter.mean((1, 2), keepdims=True)]
        shown.append(f"{np.median(np.abs(loud)):.2f} dB, {100 * (loud > 0).mean():.0f} %")
    return "; ".join(shown)


def notes(audio: np.ndarray, rate: int) -> str:
    """For each register notes per second, the quartiles of lengths, and the share of long notes."""
    sounding, beginning = NoteModel()(audio, rate)
    heard = [note for clip in zip(sounding, beginning, strict=True) for note in find_notes(*clip)]
    shown = []
    for low, high in REGISTERS:
        lengths = np.array([note.length_s for note in heard if low <= note.pitch < high] or [0.0])
        quartiles = " ".join(f"{value:.2f}" for value in np.quantile(lengths, (0.25, 0.5, 0.75)))
        per_s = len(lengths) * rate / audio[:, 0].size
        shown.append(f"{per_s:.1f}/s, {quartiles} s, {100 * (lengths > LONG_S).mean():.1f} %")
    return "; ".join(shown)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path, nargs="+", help="run directories or snapshots of the second family")
    parser.add_argument("--without-noise", action="store_true", help="also the same songs without noise in the blocks")
    options = parser.parse_args()
    models = {str(run): MP3net.from_pretrained(run) for run in options.runs}
    audio = next(iter(models.values())).config.audio
    samples = round(CLIPS["6s"][0] * audio.sample_rate_hz)
    real = real_clips(options.data, "heldout", samples, COUNT, REFERENCE_SEED)
    print("recordings: ripple", ripple(mdct(torch.from_numpy(real).float(), audio.num_bins, WINDOW, edges="zeros")))
    print("recordings: notes", notes(real, audio.sample_rate_hz), flush=True)
    for name, model in models.items():
        for noise in (True, False) if options.without_noise else (True,):
            what = name if noise else f"{name}, without noise"
            coefficients = made(model, samples / audio.sample_rate_hz, noise)
            print(f"{what}: ripple", ripple(coefficients))
            print(
                f"{what}: notes", notes(imdct(coefficients, WINDOW)[..., :samples].numpy(), audio.sample_rate_hz), flush=True
            )


if __name__ == "__main__":
    main()
