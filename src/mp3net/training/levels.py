"""The level of every bin in the training data."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mp3net.config import Config
from mp3net.data.dataset import CropDataset
from mp3net.dsp.mdct import mdct

MEASURED_S = 720.0
LEAST_CROPS, MOST_CROPS = 8, 2048
# A seed that no training run uses: theirs are small.
CROP_SEED = 2**31
SMOOTHED_BINS = 5
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
    margin = SMOOTHED_BINS // 2
    level = F.pad((power / crops).sqrt()[None, None], (margin, margin), mode="replicate")
    return F.avg_pool1d(level, SMOOTHED_BINS, 1)[0, 0].float() + LEVEL_FLOOR
