"""The beat of recordings: how long it is, and how onsets follow it."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from mp3net.config import Config, Mp3net2Model
from mp3net.data.dataset import CropDataset
from mp3net.dsp.beats import BEATS_PER_BAR, QUANTILES
from mp3net.dsp.mdct import mdct
from mp3net.dsp.psychoacoustics import Psychoacoustics
from mp3net.model.build import Networks
from mp3net.model.mp3net2.discriminator import Discriminator
from mp3net.model.mp3net2.front_end import FrontEnd
from mp3net.model.mp3net2.generator import Generator
from mp3net.model.mp3net2.meter import Beats, beat_profile, onsets

# Long enough for a tempo, short enough for it to be steady.
CROP_S = 12.0
CROPS = 96
# Seeds that no training run uses.
CROP_SEED, NOISE_SEED = 2**31 + 2, 2**31 + 3
# Half or twice a beat is a beat, too: one octave has them all.
SHORTEST_BEAT_S = 0.35
# Within a crop, neighbouring ones shift the last sixteenth by less than a quarter of itself.
BEATS = 280
PLACES = 64
# Halves of halves of a bar. With thirds among them, bars of three beats would pass for four shorter ones.
FITTED = (1, 2, 4, 8, 16)


@torch.no_grad()
def measure_beat(dataset: CropDataset, config: Config, networks: Networks) -> None:
    """Give networks with clocks the beat of recordings: quantiles of its length, and the profile of onsets that follow it.

    To each crop of up to 12 s the bars are fitted by which its onsets come together most: the beat that makes

        max over begin of  sum over m of Re c_m(beat) exp(-2 pi j m begin),    m = 1, 2, 4, 8, 16,

    largest, c_m being the harmonics of `beat_profile` of the mean of all bands.
    """
    generator, discriminator = networks.generator, networks.discriminator
    if not isinstance(config.model, Mp3net2Model) or not config.model.beat_clocks:
        return
    assert isinstance(generator, Generator)
    assert isinstance(discriminator, Discriminator)
    assert discriminator.beat is not None
    frame_s = config.audio.hop_length / config.audio.sample_rate_hz
    candidates = SHORTEST_BEAT_S / frame_s * 2 ** (torch.arange(BEATS) / BEATS)
    fit, found, profiles = None, [], []
    for level in _levels(dataset, config, discriminator.front_end):
        fit = fit or BarFit(candidates.to(level), level.shape[1])
        beats = fit(level)
        times = torch.arange(level.shape[1], device=level.device, dtype=level.dtype) + 0.5
        profiles.append(beat_profile(level, beats.bars(times)))
        found.append(beats.bar_frames / BEATS_PER_BAR)
    quantiles = torch.quantile(torch.cat(found), torch.linspace(0, 1, QUANTILES).to(found[0]))
    generator.beat_frames.copy_(quantiles)
    discriminator.beat.recordings.copy_(torch.cat(profiles).mean(0))


class BarFit:
    """Finds the bars that fit levels of so many frames best; `beats` (K,) are the candidates, in frames."""

    def __init__(self, beats: Tensor, num_frames: int) -> None:
        self.beats = beats
        harmonic = torch.tensor(FITTED, device=beats.device, dtype=beats.dtype)
        times = torch.arange(1, num_frames, device=beats.device, dtype=beats.dtype) + 0.5
        angle = 2 * math.pi * ((times[:, None] / (BEATS_PER_BAR * beats))[..., None] * harmonic % 1)  # (T - 1, K, M)
        self.cosine, self.sine = angle.cos(), angle.sin()
        self.places = torch.arange(PLACES, device=beats.device, dtype=beats.dtype) / PLACES
        turn = 2 * math.pi * harmonic[:, None] * self.places
        self.place_cosine, self.place_sine = turn.cos(), turn.sin()

    def __call__(self, level: Tensor) -> Beats:
        """Levels (1, T, F) -> their bars; the tempo is 0."""
        rise = onsets(level)[0, -1]
        real, imaginary = torch.tensordot(rise, self.cosine, 1), -torch.tensordot(rise, self.sine, 1)
        together = real @ self.place_cosine + imaginary @ self.place_sine  # (K, places)
        best = int(together.argmax())
        beat, place = self.beats[best // PLACES], self.places[best % PLACES]
        return Beats(BEATS_PER_BAR * beat[None], place[None], torch.zeros_like(beat)[None])


def _levels(dataset: CropDataset, config: Config, front_end: FrontEnd) -> Iterator[Tensor]:
    """Levels (1, T, F) of random crops, as the discriminator hears them, the mean of the channels."""
    audio, noise = config.audio, config.objective.masking_noise
    device = front_end.bin_levels.device
    wanted = max(round(CROP_S * audio.sample_rate_hz), dataset.crop_samples)
    hops = min(wanted, int(dataset.lengths.max())) // audio.hop_length
    crops = CropDataset(dataset.store, hops * audio.hop_length)
    hidden = None if noise is None else Psychoacoustics(audio.sample_rate_hz, audio.num_bins, grid=noise.grid).to(device)
    source = torch.Generator().manual_seed(NOISE_SEED)
    for index in range(CROPS):
        coefficients = mdct(crops.batch(CROP_SEED, index, 1).to(device), audio.num_bins, audio.window, edges="crop")
        if hidden is not None:
            white = torch.randn(coefficients.shape, generator=source).to(device)
            coefficients = hidden.add_masking_noise(coefficients, white=white)
        yield front_end(coefficients)[:, :, 0].mean(2)
