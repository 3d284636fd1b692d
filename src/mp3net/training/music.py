"""The beat, key, tuning, movement and intervals of recordings: which there are, and how what is heard follows them."""

from __future__ import annotations

import math
from collections import defaultdict
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
from mp3net.model.mp3net2.harmony import pitch_profile, transposed
from mp3net.model.mp3net2.meter import Beats, beat_profile, onsets
from mp3net.model.mp3net2.profiles import mean_profiles

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
def measure_music(dataset: CropDataset, config: Config, networks: Networks) -> None:
    """Give networks with clocks the beat of recordings, and networks with keys their keys: how often each length and each
    key is there, and the mean profile of what follows it. Crops of up to 12 s are taken to have one beat and one key.
    Networks that are to be tuned, to move or to have intervals as recordings do get the mean profiles of that."""
    generator, discriminator = networks.generator, networks.discriminator
    if not isinstance(discriminator, Discriminator) or not discriminator.estimates:
        return
    assert isinstance(generator, Generator)
    found: defaultdict[str, list[Tensor]] = defaultdict(list)
    heard = _Heard(config)
    for features in _features(dataset, config, discriminator.front_end):
        for name, value in heard(features):
            found[name].append(value)
    of_crops = {name: torch.cat(values) for name, values in found.items()}
    if discriminator.beat is not None:
        beats = of_crops["beat length"]
        generator.beat_frames.copy_(torch.quantile(beats, torch.linspace(0, 1, QUANTILES).to(beats)))
    if discriminator.key is not None:
        keys, profile = fitted_keys(of_crops["pitches"])
        generator.key_shares.copy_(keys.mean(0).cumsum(0))
        discriminator.key.recordings.copy_(profile)
    for name, estimate in discriminator.estimates.items():
        if name in of_crops:
            estimate.recordings.copy_(of_crops[name].mean(0))


class _Heard:
    """What there is to hear in the features (1, T, 6, C, F) of a crop, by name: as far as the configuration asks for it."""

    def __init__(self, config: Config) -> None:
        assert isinstance(config.model, Mp3net2Model)
        self.model, self.config = config.model, config
        self.fit: BarFit | None = None

    def __call__(self, features: Tensor) -> Iterator[tuple[str, Tensor]]:
        model, audio, level = self.model, self.config.audio, features[:, :, 0].mean(2)
        if model.beat_clocks:
            self.fit = self.fit or BarFit(_candidates(self.config).to(level), level.shape[1])
            bars = self.fit(level)
            times = torch.arange(level.shape[1], device=level.device, dtype=level.dtype) + 0.5
            yield "beat length", bars.bar_frames / BEATS_PER_BAR
            yield "beat", beat_profile(level, bars.bars(times))
        if model.keys:
            yield "pitches", pitch_profile(features, audio, model.keys)
        yield from mean_profiles(self._tracks(features), model, audio)

    def _tracks(self, features: Tensor) -> Tensor:
        """Features (1, T, 6, C, F) -> as many whole tracks (n, frames, 6, C, F) as there are in them.

        The mean of the roots of intervals' shares depends on how long the pieces are: what is rare is in few short ones."""
        frames = self.model.num_frames
        count = features.shape[1] // frames
        return features[0, : count * frames].reshape(count, frames, *features.shape[2:])


def fitted_keys(profiles: Tensor) -> tuple[Tensor, Tensor]:
    """Pitch profiles (n, K, 2) -> the keys that fit, as channels (n, K), and their mean profile in the first key (K, 2).

    Of the harmonics that tell all keys apart (those prime to K) the strongest decides, in twelve steps that of fifths or
    that of semitones: each recording is in the key in which its part is most nearly 1."""
    steps = profiles.shape[1]
    telling = [m for m in range(1, steps + 1) if math.gcd(m, steps) == 1]
    power = profiles.square().sum(-1).mean(0)
    chosen = max(telling, key=lambda m: float(power[m - 1]))
    all_keys = torch.eye(steps).to(profiles)
    turned = torch.stack([transposed(profiles, key.expand(len(profiles), -1)) for key in all_keys], 1)  # (n, keys, K, 2)
    keys = all_keys[turned[:, :, chosen - 1, 0].argmax(1)]
    return keys, transposed(profiles, keys).mean(0)


def _candidates(config: Config) -> Tensor:
    """Beats (280,) in frames."""
    frame_s = config.audio.hop_length / config.audio.sample_rate_hz
    return SHORTEST_BEAT_S / frame_s * 2 ** (torch.arange(BEATS) / BEATS)


class BarFit:
    """Finds the bars that fit levels of so many frames best: those by which their onsets come together most.

    `beats` (K,) are the candidates, in frames. The one is chosen that makes

        max over begin of  sum over m of Re c_m(beat) exp(-2 pi j m begin),    m = 1, 2, 4, 8, 16,

    largest, c_m being the harmonics of `beat_profile` of the mean of all bands."""

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


def _features(dataset: CropDataset, config: Config, front_end: FrontEnd) -> Iterator[Tensor]:
    """The features (1, T, 6, C, F) of random crops, as the discriminator hears them."""
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
        yield front_end(coefficients)
