"""What the second family's discriminator sees: the sound as a listener hears it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mp3net.config import AudioConfig
from mp3net.dsp.baseband import audible_level, baseband
from mp3net.dsp.psychoacoustics import INTENSITY_FLOOR, Psychoacoustics

# What the six are, as far as they are asked for by name: levels, their turns, loudness.
FEATURES, LEVEL, TURN, LOUDNESS = 6, 0, slice(3, 5), 5
# Share of the threshold's power below which a phase fades out instead of fluctuating.
FADE = 1e-3
TURN_FLOOR = 1e-4
THRESHOLD_SCALE = 0.4


class FrontEnd(nn.Module):
    """Coefficients (B, C, T, F) -> six numbers per bin, channel and frame (B, T, 6, C, F), in at least float32.

    With the baseband c = I + jQ, the masking threshold m of |c| and the level L = 0.3 log(1 + |c|^2 / (h m)^2), audible for
    h = 1; h is `hearing_db` as a factor:

        L;  L cos phi and L sin phi, phi being the phase of c;
        sqrt(L L') cos and sin of the turn since the previous frame (L' being its level);
        G (0.4 log(m / g) + 1), the loudness: the threshold relative to the level g of the bin in the training data, with
        the gain G = `loudness_gain`.

    All six are differentiable with respect to the coefficients, including through the threshold.
    """

    bin_levels: Tensor

    def __init__(self, audio: AudioConfig, hearing_db: float = 0.0, loudness_gain: float = 1.0) -> None:
        super().__init__()
        self.hearing = 10 ** (hearing_db / 20)
        self.loudness_gain = loudness_gain
        self.window = audio.window
        self.psychoacoustics = Psychoacoustics(audio.sample_rate_hz, audio.num_bins)
        self.register_buffer("bin_levels", torch.ones(audio.num_bins))

    def forward(self, coefficients: Tensor) -> Tensor:
        with torch.autocast(coefficients.device.type, enabled=False):
            i, q = baseband(coefficients, self.window)
            power = i.square() + q.square()
            threshold = self.psychoacoustics.masking_threshold((power + INTENSITY_FLOOR).sqrt())
            level = audible_level(power, self.hearing * threshold)
            scale = level * (power + FADE * threshold.square()).rsqrt()
            along, across = i * scale, q * scale
            along_before, across_before, level_before = (_frame_before(x) for x in (along, across, level))
            turn_scale = (level * level_before + TURN_FLOOR).rsqrt()
            features = [
                level,
                along,
                across,
                (along * along_before + across * across_before) * turn_scale,
                (across * along_before - along * across_before) * turn_scale,
                self.loudness_gain * (THRESHOLD_SCALE * (threshold / self.bin_levels.to(threshold.dtype)).log() + 1),
            ]
            return torch.stack(features, 1).permute(0, 3, 1, 2, 4)


def _frame_before(x: Tensor) -> Tensor:
    """(..., T, F) shifted one frame later, with silence first."""
    return F.pad(x, (0, 0, 1, -1))
