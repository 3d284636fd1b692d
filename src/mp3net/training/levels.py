"""The level of every bin: in the training data, and in the songs of the averaged generator."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mp3net.config import Config
from mp3net.data.dataset import CropDataset
from mp3net.dsp.mdct import mdct
from mp3net.model.mp3net2.generator import Generator
from mp3net.training.state import TrainingState

MEASURED_S = 720.0
LEAST_CROPS, MOST_CROPS = 8, 2048
# A seed that no training run uses: theirs are small.
CROP_SEED = 2**31
SMOOTHED_BINS = 5
SONGS_S = 190.0
LEAST_SONGS, MOST_SONGS = 2, 128
SONG_SEED = 2**31 + 1
# Of an untrained generator's levels not everything is made good: 20 dB.
MOST_CHANGED = 10.0
# -120 dB, so that an empty band stays finite.
LEVEL_FLOOR = 1e-6


def measure_bin_levels(dataset: CropDataset, config: Config) -> Tensor:
    """(F,) root mean square of each bin's coefficients in about 12 minutes of crops, all channels, smoothed over 5 bins."""
    audio = config.audio
    crops = min(max(LEAST_CROPS, round(MEASURED_S / config.track_duration_s)), MOST_CROPS)
    power = torch.zeros(audio.num_bins, dtype=torch.float64)
    for index in range(crops):
        coefficients = mdct(dataset.batch(CROP_SEED, index, 1), audio.num_bins, audio.window, edges="crop")
        power += coefficients.double().square().mean((0, 1, 2))
    return _smoothed_level(power / crops)


class SongLevels:
    """Keeps the averaged generator's songs at the level of the data in every bin.

    Averaged weights make quieter sounds than the weights that are trained: amplitudes of partials are powers of what the
    last layer gives, and the mean of powers is more than the power of the mean. What averaging takes from a bin is given
    back by its constant level, which training does not use.
    """

    def __init__(self, state: TrainingState) -> None:
        self.state = state
        self._brought_at = -1

    def bring(self) -> None:
        """Measure the songs of the weights as they are now, once, and set the levels. Takes up to 3 minutes of songs."""
        state, average = self.state, self.state.ema.network
        if not isinstance(average, Generator) or self._brought_at == state.tracks_seen:
            return
        average.bin_levels.copy_(state.networks.generator.get_buffer("bin_levels"))
        average.bin_levels.copy_(levelled(average, state.config))
        self._brought_at = state.tracks_seen


def levelled(generator: Generator, config: Config) -> Tensor:
    """The levels (F,) with which its songs have those that it has now, the data's, in every bin."""
    data = generator.bin_levels
    change = (data / measure_song_levels(generator, config)).clamp(1 / MOST_CHANGED, MOST_CHANGED)
    return data * change.nan_to_num(1.0)  # broken weights are reported by those who save them


@torch.no_grad()
def measure_song_levels(generator: Generator, config: Config) -> Tensor:
    """(F,) root mean square of each bin in up to 3 minutes of songs, smoothed like those of the data."""
    model = config.model
    source = torch.Generator().manual_seed(SONG_SEED)
    songs = min(max(LEAST_SONGS, round(SONGS_S / config.track_duration_s)), MOST_SONGS)
    device = generator.bin_levels.device
    power = torch.zeros(len(generator.bin_levels), dtype=torch.float64, device=device)
    for _ in range(songs):
        z = torch.randn(1, model.latent_size(model.num_frames), generator=source)
        power += generator(z.to(device)).double().square().mean((0, 1, 2))
    return _smoothed_level(power / songs)


def _smoothed_level(power: Tensor) -> Tensor:
    """(F,) mean squares -> root mean squares, averaged over 5 bins."""
    margin = SMOOTHED_BINS // 2
    level = F.pad(power.sqrt()[None, None], (margin, margin), mode="replicate")
    return F.avg_pool1d(level, SMOOTHED_BINS, 1)[0, 0].float() + LEVEL_FLOOR
