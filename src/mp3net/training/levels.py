"""The level of every bin: in the training data, and in the songs of the averaged generator."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from mp3net.config import Config
from mp3net.data.dataset import CropDataset
from mp3net.dsp.mdct import mdct
from mp3net.model.mp3net2.generator import Generator
from mp3net.training.state import TrainingState

MEASURED_S = 720.0
LEAST_CROPS, MOST_CROPS = 8, 512
# A seed that no training run uses: theirs are small.
CROP_SEED = 2**31
SMOOTHED_BINS = 5
# Songs of a few seconds differ by several dB in a bin: the mean of 32 is off by about half a dB (benchmarks/levels.py).
SONGS_S = 1500.0
LEAST_SONGS, MOST_SONGS = 4, 256
SONG_SEED = 2**31 + 1
# Of an untrained generator's levels not everything is made good: 20 dB.
MOST_CHANGED = 10.0
# -120 dB, so that an empty band stays finite.
LEVEL_FLOOR = 1e-6


def measure_bin_levels(dataset: CropDataset, config: Config) -> Tensor:
    """(F,) root mean square of each bin's coefficients in about 12 minutes of crops, all channels, smoothed over 5 bins."""
    squares = [coefficients.square().mean((0, 1, 2)) for coefficients in _crops(dataset, config)]
    return _smoothed((sum(squares, torch.zeros(())) / len(squares)).sqrt())


def measure_magnitudes(pieces: Iterator[Tensor]) -> Tensor:
    """(F,) mean magnitude of each bin in coefficients (B, C, T, F), all pieces alike, smoothed over 5 bins."""
    magnitudes = [coefficients.double().abs().mean((0, 1, 2)) for coefficients in pieces]
    return _smoothed(sum(magnitudes, torch.zeros((), device=magnitudes[0].device)) / len(magnitudes))


class SongLevels:
    """Keeps the averaged generator's songs at the level of the data in every bin.

    Averaged weights make quieter sounds than the weights that are trained: amplitudes of partials are powers of what the
    last layer gives, and the mean of powers is more than the power of the mean. What averaging takes from a bin is given
    back by its constant level, which training does not use. Levels are mean magnitudes, not powers: a power is that of the
    few loudest moments, and a song is as loud as it is most of the time.
    """

    def __init__(self, state: TrainingState, dataset: CropDataset) -> None:
        self.state = state
        self.dataset = dataset
        self._data: Tensor | None = None
        self._brought_at = -1

    def bring(self) -> None:
        """Measure the songs of the weights as they are now, once, and set the levels. Takes 25 minutes of songs, or 256."""
        state, average = self.state, self.state.ema.network
        if not isinstance(average, Generator) or self._brought_at == state.tracks_seen:
            return
        if self._data is None:
            self._data = data_magnitudes(self.dataset, state.config)
        average.bin_levels.copy_(state.networks.generator.get_buffer("bin_levels"))
        average.bin_levels.copy_(levelled(average, state.config, self._data))
        self._brought_at = state.tracks_seen


def data_magnitudes(dataset: CropDataset, config: Config) -> Tensor:
    """(F,) mean magnitude of each bin in the crops that `measure_bin_levels` measures."""
    return measure_magnitudes(_crops(dataset, config))


def levelled(generator: Generator, config: Config, magnitudes: Tensor) -> Tensor:
    """The levels (F,) with which the generator's songs have these mean magnitudes."""
    before = generator.bin_levels
    change = magnitudes.to(before.device) / measure_magnitudes(_songs(generator, config))
    return before * change.clamp(1 / MOST_CHANGED, MOST_CHANGED).nan_to_num(1.0)  # who saves broken weights reports them


def _crops(dataset: CropDataset, config: Config) -> Iterator[Tensor]:
    """Coefficients (1, C, T, F), float64, of random crops."""
    audio = config.audio
    crops = min(max(LEAST_CROPS, round(MEASURED_S / config.track_duration_s)), MOST_CROPS)
    for index in range(crops):
        yield mdct(dataset.batch(CROP_SEED, index, 1), audio.num_bins, audio.window, edges="crop").double()


@torch.no_grad()
def _songs(generator: Generator, config: Config) -> Iterator[Tensor]:
    """Coefficients (1, C, T, F) of random songs, as long as tracks."""
    model, device = config.model, generator.bin_levels.device
    source = torch.Generator().manual_seed(SONG_SEED)
    for _ in range(min(max(LEAST_SONGS, round(SONGS_S / config.track_duration_s)), MOST_SONGS)):
        z = torch.randn(1, model.latent_size(model.num_frames), generator=source)
        yield generator(z.to(device))


def _smoothed(level: Tensor) -> Tensor:
    """(F,) averaged over 5 bins."""
    margin = SMOOTHED_BINS // 2
    padded = F.pad(level[None, None], (margin, margin), mode="replicate")
    return F.avg_pool1d(padded, SMOOTHED_BINS, 1)[0, 0].float() + LEVEL_FLOOR
