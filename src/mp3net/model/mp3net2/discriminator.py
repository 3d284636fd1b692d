"""MDCT coefficients -> scores, second family."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from mp3net.config import AudioConfig, Mp3net2Model
from mp3net.model.mp3net2.front_end import FEATURES, LOUDNESS, FrontEnd
from mp3net.model.mp3net2.gap import ProfileGap
from mp3net.model.mp3net2.intervals import NUM_INTERVALS
from mp3net.model.mp3net2.layers import (
    ACTIVE_GAIN,
    Attention,
    FrameConv,
    ResidualBlock,
    at_least_float32,
    halved,
    initialise,
    leaky,
    through,
)
from mp3net.model.mp3net2.meter import HARMONICS, octaves
from mp3net.model.mp3net2.tuning import tuned_bins
from mp3net.model.mp3net2.views import View

SCORE_DIM = 256
# Names of its estimates, each an attribute; those of `profiles.mean_profiles` need no beat and no key.
FREE = ("tuning", "movement", "loudness", "intervals")
ESTIMATES = ("beat", "key", *FREE)


class ScoreHead(nn.Module):
    """(..., W) -> (...): two dense layers in at least float32, because scores differ only slightly."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden = FrameConv(width, SCORE_DIM, gain=ACTIVE_GAIN)
        self.to_score = FrameConv(SCORE_DIM, 1)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            score: Tensor = self.to_score(leaky(self.hidden(leaky(x.to(self.hidden.weight.dtype)))))
        return score.squeeze(-1)


class Discriminator(nn.Module):
    """Coefficients (B, C, T, F) -> scores (B, 1 + n), larger for more real: the whole track's, then those of its n parts.

    The mirror of the generator after a fixed front-end (`front_end`, on whose output the penalties act; `judge` does the
    rest). A part is as long as the reach of one local latent. Samples are scored independently.
    """

    def __init__(self, config: Mp3net2Model, audio: AudioConfig) -> None:
        super().__init__()
        self.config = config
        self.checkpointing = False
        widths = config.level_widths[::-1]
        self.front_end = FrontEnd(audio, config.hearing_db, config.loudness_gain)
        self.from_bins = FrameConv(FEATURES * audio.channels * audio.num_bins, widths[0])
        self.levels = nn.ModuleList(
            nn.ModuleList(ResidualBlock(width) for _ in range(config.blocks_per_level)) for width in widths
        )
        bins = audio.channels * audio.num_bins
        # A view goes to the level which has one frame for every half of it.
        self.views = nn.ModuleDict(
            {
                str(level): View(2 ** (level + 1), bins, width)
                for level, width in enumerate(widths)
                if 2 ** (level + 1) in config.view_frames
            }
        )
        self.steps = nn.ModuleList(
            FrameConv(narrow, wide) if wide != narrow else nn.Identity() for narrow, wide in pairwise(widths)
        )
        self.attention = Attention(widths[-1], config.attention_heads)
        self.score_part = ScoreHead(config.base_frames * widths[-1])
        self.score_track = ScoreHead(widths[-1])
        self.beat = ProfileGap(len(octaves(audio.num_bins)) + 1, HARMONICS, 2) if config.beat_clocks else None
        self.key = _gap(config.keys, 2)
        self.tuning = _gap(config.tuning_harmonics, 2, tuned_bins(audio))
        self.movement = _gap(len(config.movement_lags), 2, audio.num_bins)
        self.loudness = _gap(len(config.loudness_lags), 2, audio.num_bins)
        self.intervals = _gap(len(config.interval_lags), NUM_INTERVALS)

    def initialise(self, source: torch.Generator) -> None:
        """Fresh weights."""
        initialise(self, source)

    def blocks_near_audio(self, count: int) -> list[nn.Module]:
        """The first `count` levels and what reads the features for them."""
        views = [view for level, view in self.views.items() if int(level) < count]
        return [self.from_bins, *views, *self.levels[:count], *self.steps[:count], *self.estimates.values()]

    @property
    def estimates(self) -> dict[str, ProfileGap]:
        """The estimates of how mean profiles of songs differ from those of recordings, by name, as far as there are any."""
        named = ((name, getattr(self, name)) for name in ESTIMATES)
        return {name: estimate for name, estimate in named if estimate is not None}

    @torch.no_grad()
    def expect_loudness_gain(self, before: float) -> None:
        """Score as these weights did with the gain of loudness `before`."""
        at = slice(LOUDNESS * self.from_bins.weight.shape[1] // FEATURES, None)
        self.from_bins.weight[:, at] *= before / self.config.loudness_gain

    def forward(self, coefficients: Tensor) -> Tensor:
        return self.judge(self.front_end(coefficients))

    def judge(self, features: Tensor) -> Tensor:
        """The front-end's features (B, T, 6, C, F) -> scores (B, 1 + n). Errors: ValueError if T is not whole parts."""
        if features.shape[1] % self.config.frames_per_part:
            raise ValueError(f"{features.shape[1]} frames are no whole parts of {self.config.frames_per_part}")
        x = self.from_bins(features.flatten(2))
        for number, blocks in enumerate(self.levels):
            assert isinstance(blocks, nn.ModuleList)
            if str(number) in self.views:
                x = x + self.views[str(number)](features)
            for block in blocks:
                x = through(block, x, recompute=self.checkpointing)
            if number < len(self.steps):
                x = halved(self.steps[number](x))
        parts = self.score_part(x.reshape(len(x), -1, self.config.base_frames * x.shape[-1]))
        track = self.score_track(at_least_float32(self.attention(x)).mean(1))
        return torch.cat([track[:, None], parts], 1)


def _gap(count: int, *shape: int) -> ProfileGap | None:
    return ProfileGap(count, *shape) if count else None
