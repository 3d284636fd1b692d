"""Changes to the code that recipes try and no setting makes. Each is in force inside of its context."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mp3net.config import WindowName
from mp3net.dsp import baseband as baseband_module
from mp3net.dsp.mdct import window
from mp3net.model.mp3net2 import front_end as front_end_module
from mp3net.model.mp3net2.discriminator import Discriminator
from mp3net.model.mp3net2.generator import OUTPUT_GAIN, Generator
from mp3net.model.mp3net2.layers import ACTIVE_GAIN, FrameConv, at_least_float32, halved
from mp3net.training.objectives.relativistic import RelativisticObjective


def extended(cls: type, change: Callable[[Any], None]) -> AbstractContextManager[Any]:
    """Objects of the class are changed after they are made."""
    make = cls.__init__

    def made(self: Any, *args: Any, **named: Any) -> None:
        make(self, *args, **named)
        change(self)

    return patch.object(cls, "__init__", made)


def together(*changes: Callable[[], AbstractContextManager[Any]]) -> Callable[[], AbstractContextManager[Any]]:
    """Several changes at once."""

    @contextmanager
    def all_of_them() -> Iterator[None]:
        with ExitStack() as stack:
            for change in changes:
                stack.enter_context(change())
            yield

    all_of_them.__name__ = "+".join(change.__name__ for change in changes)
    return all_of_them


# --- hearing


@contextmanager
def hearing(schedule: Callable[[int], float]) -> Iterator[None]:
    """The threshold of the audible level, times a factor of the tracks seen."""
    now = [schedule(0)]
    features = RelativisticObjective._features

    def watched(self: Any, coefficients: Tensor, draws: Any) -> Tensor:
        now[0] = schedule(draws.tracks_seen)
        return features(self, coefficients, draws)

    def level(power: Tensor, threshold: Tensor) -> Tensor:
        return baseband_module.audible_level(power, threshold * now[0])

    with patch.object(RelativisticObjective, "_features", watched), patch.object(front_end_module, "audible_level", level):
        yield


def hearing_half() -> AbstractContextManager[Any]:
    return hearing(lambda tracks: 0.5)


def hearing_deepens() -> AbstractContextManager[Any]:
    """From 1 to 1/4 between 8,000 and 24,000 tracks."""
    return hearing(lambda tracks: 0.25 ** min(max((tracks - 8_000) / 16_000, 0), 1))


# --- heads


# Of the amplitude, from frame to frame. Where everything is kept, the root below has no slope.
MOST_KEPT = 0.99


class Resonators(nn.Module):
    """(B, T, 3 C F R) -> u, v (B, T, C F): sums of R resonators per bin, y(t) = a(t) e^{j pi d} y(t-1) + sqrt(1 - a^2) e(t).

    d is learned; a(t) and e(t) are the network's."""

    def __init__(self, bins: int, count: int) -> None:
        super().__init__()
        self.bins, self.count = bins, count
        spread = (torch.arange(count) + 0.5) / count - 0.5
        self.offset = nn.Parameter(spread.repeat(bins, 1))  # (CF, R)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = at_least_float32(x).unflatten(-1, (3, self.bins, self.count))
        keep = MOST_KEPT * torch.sigmoid(x[:, :, 2] + 1)
        drive = (1 - keep.square()).sqrt()
        angle = math.pi * self.offset.float()
        cosine, sine = angle.cos(), angle.sin()
        along, across = (x[:, :, 0] * drive).unbind(1), (x[:, :, 1] * drive).unbind(1)
        us, vs = [along[0]], [across[0]]
        for a, e, f in zip(keep.unbind(1)[1:], along[1:], across[1:], strict=True):
            u, v = us[-1], vs[-1]
            us.append(a * (cosine * u - sine * v) + e)
            vs.append(a * (sine * u + cosine * v) + f)
        return torch.stack(us, 1).sum(-1), torch.stack(vs, 1).sum(-1)


@contextmanager
def resonators(count: int) -> Iterator[None]:
    def change(generator: Any) -> None:
        bins = generator.audio_channels * generator.num_bins
        gain = OUTPUT_GAIN * ACTIVE_GAIN / count**0.5
        generator.to_bins = FrameConv(generator.config.level_widths[-1], 3 * count * bins, 1, gain)
        generator.resonators = Resonators(bins, count)

    def coefficients(self: Any, x: Tensor) -> Tensor:
        u, v = (part.unflatten(-1, (self.audio_channels, self.num_bins)).transpose(1, 2) for part in self.resonators(x))
        made = baseband_module.from_baseband(u.contiguous(), v.contiguous())
        return made * self.bin_levels.to(made.dtype)

    with extended(Generator, change), patch.object(Generator, "_coefficients", coefficients):
        yield


def one_resonator() -> AbstractContextManager[Any]:
    return resonators(1)


def two_resonators() -> AbstractContextManager[Any]:
    return resonators(2)


# --- two-dimensional stems


class Stem(nn.Module):
    """Features (B, T, 6, C, F) plus what two 3 x 3 convolutions with weights shared along bins find in them."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, hidden, 3, padding=1)
        self.second = nn.Conv2d(hidden, channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        x = features.flatten(2, 3).transpose(1, 2)  # (B, 6 C, T, F)
        x = x + self.second(F.leaky_relu(self.first(x), 0.2))
        return x.transpose(1, 2).reshape(features.shape)


@contextmanager
def stem() -> Iterator[None]:
    def change(network: Any) -> None:
        network.stem = Stem(6, 16)

    judge = Discriminator.judge
    with (
        extended(Discriminator, change),
        patch.object(Discriminator, "judge", lambda self, features: judge(self, self.stem(features))),
    ):
        yield


class LongView(nn.Module):
    """What eight frames together say: for every bin the level in eighths of its width, at a quarter of the frame rate.

    (B, T, 6, C, F) -> (B, T / 4, width). The phases of eight frames, weighted with a Hann window, are transformed: a steady
    partial is one line, noise is spread over all.
    """

    def __init__(self, bins: int, width: int) -> None:
        super().__init__()
        steps = torch.arange(8)
        window = torch.hann_window(8, periodic=False) + 0.08
        angle = torch.outer(steps - 3.5, steps - 4.0) * (2 * math.pi / 8)
        matrix = torch.stack([angle.cos(), angle.sin()]) * (window / window.square().sum().sqrt())
        self.register_buffer("matrix", matrix)
        self.mix = nn.Linear(8 * bins, width)

    def forward(self, features: Tensor) -> Tensor:
        along, across = features[:, :, 1].flatten(2), features[:, :, 2].flatten(2)  # (B, T, C F)
        along, across = (F.pad(x, (0, 0, 2, 2)).unfold(1, 8, 4) for x in (along, across))  # (B, T / 4, C F, 8)
        cosine, sine = self.matrix[0].to(along.dtype), self.matrix[1].to(along.dtype)
        real = along @ cosine + across @ sine
        imaginary = across @ cosine - along @ sine
        level = (real.square() + imaginary.square() + 0.01).sqrt() - 0.1
        mixed: Tensor = self.mix(level.flatten(2))
        return mixed


@contextmanager
def long_view() -> Iterator[None]:
    """The discriminator's third level also gets the long view."""

    def change(network: Any) -> None:
        network.long_view = LongView(network.from_bins.weight.shape[1] // 6, network.config.width)

    def judge(self: Any, features: Tensor) -> Tensor:
        x = self.from_bins(features.flatten(2))
        for number, blocks in enumerate(self.levels):
            if number == 2:
                x = x + self.long_view(features).to(x.dtype)
            for block in blocks:
                x = block(x)
            if number < len(self.steps):
                x = halved(self.steps[number](x))
        parts = self.score_part(x.reshape(len(x), -1, self.config.base_frames * x.shape[-1]))
        track = self.score_track(at_least_float32(self.attention(x)).mean(1))
        return torch.cat([track[:, None], parts], 1)

    with extended(Discriminator, change), patch.object(Discriminator, "judge", judge):
        yield


# --- partials on a fine grid of frequencies


def partial_response(num_bins: int, per_bin: int, window_name: WindowName) -> tuple[Tensor, Tensor]:
    """Frequencies nu (F R,) of partials in bins, and the MDCT (F, F R), complex, of exp(j pi nu (n - (N - 1/2)) / N)."""
    nu = (torch.arange(num_bins * per_bin, dtype=torch.float64) + 0.5) / per_bin
    n = torch.arange(2 * num_bins, dtype=torch.float64)
    taper = window(window_name, num_bins).double()
    k = torch.arange(num_bins, dtype=torch.float64)
    kernel = torch.cos(math.pi / num_bins * torch.outer(k + 0.5, n + 0.5 + num_bins / 2)) * taper
    sines = torch.exp(1j * math.pi / num_bins * torch.outer(n - num_bins + 0.5, nu))
    response = kernel.to(torch.complex128) @ sines
    return nu, response / response.abs().square().sum(1).mean().sqrt()


_responses: dict[Any, tuple[Tensor, Tensor]] = {}


def kept_response(*table: Any) -> tuple[Tensor, Tensor]:
    """`partial_response`, computed once; not kept if it was made for counting, without content."""
    if table in _responses:
        return _responses[table]
    made = partial_response(*table)
    if type(made[0]) is Tensor:
        _responses[table] = made
    return made


class Partials(nn.Module):
    """(B, T, 2 F R) -> coefficients (B, T, F): slow complex amplitudes of F R partials, R per bin, at fixed frequencies or,
    `tuned`, at frequencies that are learned; how a partial spreads over bins stays as it is at the fixed one."""

    def __init__(self, num_bins: int, per_bin: int, window_name: WindowName, tuned: bool) -> None:
        super().__init__()
        self.table = (num_bins, per_bin, window_name)  # no buffers: networks are built without memory before they are loaded
        self.detuning = nn.Parameter(torch.zeros(num_bins * per_bin)) if tuned else None

    def forward(self, x: Tensor) -> Tensor:
        u, v = x.chunk(2, -1)
        with torch.inference_mode(False):
            nu, response = kept_response(*self.table)
            render = torch.cat([response.real, -response.imag], 1).to(x.dtype)
        nu = nu if self.detuning is None else nu + self.detuning
        # In turns, reduced in float64: after minutes, float32 would have lost the angle.
        turns = torch.outer(torch.arange(x.shape[1], dtype=torch.float64, device=x.device) / 2, nu)
        angle = ((turns - turns.detach().round()) * (2 * math.pi)).to(x.dtype)
        cosine, sine = angle.cos(), angle.sin()
        turned = torch.cat([u * cosine - v * sine, u * sine + v * cosine], -1)
        return F.linear(turned, render)


@contextmanager
def partials(per_bin: int, size: int = 1, tuned: bool = False) -> Iterator[None]:
    def change(generator: Any) -> None:
        width = generator.config.level_widths[-1]
        count = 2 * generator.audio_channels * generator.num_bins * per_bin
        generator.to_bins = FrameConv(width, count, size, OUTPUT_GAIN * ACTIVE_GAIN)
        generator.partials = Partials(generator.num_bins, per_bin, "vorbis", tuned)

    def coefficients(self: Any, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            x = torch.cat([self.partials(part) for part in x.float().chunk(self.audio_channels, -1)], -1)
        made = x.unflatten(-1, (self.audio_channels, self.num_bins)).transpose(1, 2)
        return made * self.bin_levels.to(made.dtype)

    with extended(Generator, change), patch.object(Generator, "_coefficients", coefficients):
        yield


def partials_4() -> AbstractContextManager[Any]:
    return partials(4)


def partials_2() -> AbstractContextManager[Any]:
    return partials(2)


def partials_1() -> AbstractContextManager[Any]:
    return partials(1)


def partials_2_tuned() -> AbstractContextManager[Any]:
    return partials(2, tuned=True)


def partials_2_wide() -> AbstractContextManager[Any]:
    """Amplitudes from three frames."""
    return partials(2, size=3)
