"""Where the partials of recordings lie, so that the generator has partials there."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from scipy.signal import find_peaks
from torch import Tensor

from mp3net.config import AudioConfig, Config, Mp3net2Model
from mp3net.data.dataset import CropDataset
from mp3net.model.build import Networks
from mp3net.model.mp3net2.generator import Generator

CROP_S, MEASURED_S = 12.0, 3600.0
# A seed that no training run uses.
CROP_SEED = 2**31 + 4
# Long enough to tell semitones apart where a bin has several, short enough for a note: 0.74 s at 11 kHz and 256 bins.
WINDOW_HOPS = 32
# By how much a line stands out from what is beside it, so that noise has none.
PROMINENCE_DB = 2.0
SILENCE = 1e-12


def measure_tuning(dataset: CropDataset, config: Config, networks: Networks) -> None:
    """Give a generator whose partials have places to choose from those where recordings have lines."""
    model, generator = config.model, networks.generator
    if isinstance(model, Mp3net2Model) and model.partial_places:
        assert isinstance(generator, Generator)
        spectrum = mean_spectrum(_crops(dataset, config.audio), config.audio.num_bins, model.partial_places)
        places = chosen_places(spectrum.reshape(config.audio.num_bins, -1), model.partials_per_bin)
        generator.partials.copy_(torch.from_numpy(places))


def mean_spectrum(pieces: Iterator[Tensor], num_bins: int, grid: int) -> np.ndarray:
    """Sound (..., S) -> the mean power (F P,) at the frequencies (o + 1/2) / P bins, in Hann windows of 32 hops that overlap
    by half."""
    length = WINDOW_HOPS * num_bins
    window = torch.hann_window(length)
    # The middles of places are every other one of 4 F P points; few places need a finer transform.
    finer = -(-length // (4 * num_bins * grid))
    power, count = torch.zeros(num_bins * grid, dtype=torch.float64), 0
    for piece in pieces:
        frames = piece.reshape(-1, piece.shape[-1]).unfold(-1, min(length, piece.shape[-1]), length // 2).flatten(0, 1)
        frames = frames * window[: frames.shape[-1]]
        spectrum = torch.fft.rfft(frames, 4 * num_bins * grid * finer)[:, finer :: 2 * finer]
        power += spectrum.abs().square().double().sum(0)
        count += len(frames)
    mean: np.ndarray = (power / max(count, 1)).numpy()
    return mean


def chosen_places(power: np.ndarray, per_bin: int) -> np.ndarray:
    """Mean power (F, P) -> the R places of each bin (F, R), float32, rising.

    First those of lines, peaks that stand out by 2 dB, the strongest ones of each bin. The others go to where the gaps are
    widest, evenly within each. So a bin without lines is divided evenly, and one with them can still make any sound."""
    num_bins, grid = power.shape
    level_db = 10 * np.log10(power.ravel() + SILENCE * power.max() + np.finfo(float).tiny)
    lines = find_peaks(level_db, prominence=PROMINENCE_DB)[0]
    chosen = np.empty((num_bins, per_bin), np.float32)
    for number in range(num_bins):
        own = lines[lines // grid == number]
        strongest = np.sort(own[np.argsort(-level_db[own])][:per_bin]) % grid
        chosen[number] = np.sort([*strongest, *_between(strongest, per_bin - len(strongest), grid)])
    return chosen


def _between(lines: np.ndarray, count: int, grid: int) -> np.ndarray:
    """`count` of the places 0 ... P - 1 between those of lines. A bin's border lies midway between two partials."""
    points = [0.0, *(lines + 0.5), float(grid)]
    widths = np.diff(points)
    # By how much less than one gap n partials have on either side: none next to a line, half of one next to a border.
    before, after = np.ones(len(widths)), np.ones(len(widths))
    before[0] = after[-1] = 0.5
    taken = np.zeros(len(widths), int)
    for _ in range(count):
        with np.errstate(divide="ignore"):
            taken[(widths / (taken - 1 + before + after)).argmax()] += 1
    made = [
        points[gap] + width / (taken[gap] - 1 + before[gap] + after[gap]) * (before[gap] + np.arange(taken[gap]))
        for gap, width in enumerate(widths)
        if taken[gap]
    ]
    return np.floor(np.concatenate(made)) if made else np.empty(0)


def _crops(dataset: CropDataset, audio: AudioConfig) -> Iterator[Tensor]:
    """Random crops of up to 12 s (C, S), an hour in all."""
    wanted = max(round(CROP_S * audio.sample_rate_hz), dataset.crop_samples)
    samples = min(wanted, int(dataset.lengths.max()) // audio.hop_length * audio.hop_length)
    crops = CropDataset(dataset.store, samples)
    for index in range(max(round(MEASURED_S * audio.sample_rate_hz / samples), 1)):
        yield crops.batch(CROP_SEED, index, 1)[0]
