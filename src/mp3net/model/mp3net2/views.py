"""What several frames together say to the second family's discriminator."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mp3net.dsp.constants import constant
from mp3net.model.mp3net2.layers import FrameConv

# Share of a view's power below which it counts as silence; also keeps the root's slope finite there.
SILENCE = 0.01
# Added to the window, whose outer frames would otherwise count for nothing.
PEDESTAL = 0.08
VIEW_GAIN = 0.6


class View(nn.Module):
    """The front-end's features (B, T, 6, C, F) -> (B, 2 T / n, W): n frames as one, every half of them.

    With the features x(t) = L cos phi + j L sin phi of a bin, which stand still or turn slowly where a note is held,

        X_q = sum_t w_t x(t) exp(-2 pi j q t / n),    q = -n/2 ... n/2 - 1,    sum w_t^2 = 1

    is a spectrum of the bin in n parts of two bins' width: a held note is one line of it, noise is spread over all. What
    goes on is the root of |X_q|^2, mixed by one affine map. Without this, two notes a semitone apart in one bin, or a note
    and a haze around it, have to be told apart by how frames follow each other.
    """

    def __init__(self, frames: int, channels: int, width: int) -> None:
        super().__init__()
        self.frames = frames
        self.mix = FrameConv(frames * channels, width, gain=VIEW_GAIN)

    def forward(self, features: Tensor) -> Tensor:
        outer = self.frames // 4
        both = F.pad(features[:, :, 1:3].flatten(3), (0, 0, 0, 0, outer, outer)).transpose(1, 2)
        # (B, T, C F, n) each
        along, across = both.unfold(2, self.frames, self.frames // 2).unbind(1)
        cosine, sine = constant(_transform, self.frames, features).unbind()
        real = along @ cosine + across @ sine
        imaginary = across @ cosine - along @ sine
        root = (real.square() + imaginary.square() + SILENCE).sqrt() - math.sqrt(SILENCE)
        mixed: Tensor = self.mix(root.flatten(2))
        return mixed


def _transform(frames: int) -> Tensor:
    """(2, n, n): w_t cos and w_t sin of 2 pi q t / n, counted from the middle frame."""
    steps = torch.arange(frames, dtype=torch.float64)
    window = torch.hann_window(frames, periodic=False, dtype=torch.float64) + PEDESTAL
    angle = torch.outer(steps - (frames - 1) / 2, steps - frames / 2) * (2 * math.pi / frames)
    return torch.stack([angle.cos(), angle.sin()]) * (window / window.square().sum().sqrt())[:, None]
