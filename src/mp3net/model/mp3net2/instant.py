"""The generator of the second family without PyTorch, which takes longer to load than a song takes to make.

The same sums as `generator.py` and `layers.py`, which explain them, of one track at a time, by numpy in single precision; a
test compares the two. Frames are (T, W).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mp3net.config import AudioConfig, Mp3net2Model
from mp3net.dsp import tables
from mp3net.dsp.beats import QUANTILES, Beat
from mp3net.dsp.keys import key_channels
from mp3net.model.mp3net2.spans import Span, level_spans
from mp3net.model.mp3net2.values import EXPANDED_GAIN, EXPANDED_TO, EXPANSION_FLOOR, LEAKY_SLOPE, MAPPING_DIM, ROTARY_BASE

# So many frames of amplitudes are turned into coefficients at a time: enough for fast products, few enough for the cache.
FRAMES_AT_ONCE = 128
DEEPEST_AT_ONCE = 1024


class Guides(NamedTuple):
    """What a song goes by from beginning to end: its beat, and its key (K,) as channels of which one is 1."""

    beat: Beat | None
    key: np.ndarray | None


@dataclass(frozen=True)
class Opening:
    """A track that has been begun, as in `generator.py`; `clock` are cos and sin of the partials, (2, 4 R, F R)."""

    deepest: np.ndarray
    attention: tuple[np.ndarray, np.ndarray, np.ndarray]
    style: np.ndarray
    noise: list[np.ndarray]
    clock: np.ndarray
    guides: Guides
    num_frames: int


class InstantGenerator:
    """z (Z,) -> `Opening` -> coefficients (C, T, F) of any section, float32."""

    def __init__(self, config: Mp3net2Model, audio: AudioConfig, weights: Mapping[str, np.ndarray]) -> None:
        self.config, self.audio = config, audio
        self.weights = weights

    @staticmethod
    def shapes(config: Mp3net2Model, audio: AudioConfig) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the generator's weights."""
        widths = config.level_widths[: len(config.generator_level_frames)]
        style, noise = config.global_dim, config.block_channels
        layers = {"mapping.0": (style, MAPPING_DIM), "mapping.1": (MAPPING_DIM, style)}
        layers["start"] = (config.local_dim, config.base_frames * widths[0])
        layers["attention.to_parts"] = (widths[0], 3 * (widths[0] // 2))
        layers["attention.to_out"] = (widths[0] // 2, widths[0])
        for level, width in enumerate(widths):
            for block in range(config.blocks_per_level):
                name = f"levels.{level}.{block}"
                layers[f"{name}.modulation"] = (style, 2 * width)
                layers[f"{name}.first"] = (3 * (width + noise), width)
                layers[f"{name}.second"] = (3 * width, width)
            if level and widths[level - 1] != width:
                layers[f"steps.{level - 1}"] = (widths[level - 1], width)
        outputs = audio.channels * audio.num_bins * (2 * config.partials_per_bin or 1)
        layers["to_bins"] = (widths[-1] * (1 if config.partials_per_bin else 3), outputs)
        found: dict[str, tuple[int, ...]] = {"bin_levels": (audio.num_bins,)}
        if config.beat_clocks:
            found["beat_frames"] = (QUANTILES,)
        if config.keys:
            found["key_shares"] = (config.keys,)
        for name, (inputs, out) in layers.items():
            found |= {f"{name}.weight": (out, inputs), f"{name}.bias": (out,)}
        return found

    @staticmethod
    def can_play(config: Mp3net2Model) -> bool:
        """Whether this file knows the configuration: held amplitudes are left to PyTorch."""
        return config.hold_frames == 1

    def prepare(self) -> None:
        """Make the tables that the first section would have to wait for."""
        if self.config.partials_per_bin:
            num_bins, per_bin = self.audio.num_bins, self.config.partials_per_bin
            tables.single(tables.responses, num_bins, per_bin, self.audio.window, 1)
            self._clock(np.zeros(self.config.phase_dim, np.float32))

    def open(self, z: np.ndarray) -> Opening:
        """What every section of a track is made from. Errors: ValueError if z is not as long as whole parts need."""
        config = self.config
        before = config.common_size
        if z.ndim != 1 or len(z) <= before or (len(z) - before) % config.part_size:
            raise ValueError(f"latents of {z.shape} numbers are no {before} and whole parts of {config.part_size}")
        parts = z[before:].reshape(-1, config.part_size)
        frames = [count for count in config.generator_level_frames for _ in range(config.blocks_per_level)]
        ends = np.cumsum([config.local_dim, *(config.noise_channels * count for count in frames)])
        local, *noise = np.split(parts, ends[:-1], 1)
        given = iter([piece.reshape(-1, config.noise_channels) for piece in noise])
        style = z[None, : config.global_dim]
        if config.global_share < 1:
            style = config.global_share**0.5 * style + (1 - config.global_share) ** 0.5 * local
        style = self._affine("mapping.1", leaky(self._affine("mapping.0", style)))
        x = self._affine("start", local).reshape(-1, config.level_widths[0])
        guides = self._guides(z)
        x = self._deepest(x, style, [next(given) for _ in range(config.blocks_per_level)], guides)
        clock = self._clock(z[config.global_dim : config.global_dim + config.phase_dim])
        return Opening(x, self._attention(x), style, list(given), clock, guides, len(parts) * config.frames_per_part)

    def _guides(self, z: np.ndarray) -> Guides:
        config, beat, key = self.config, None, None
        if config.beat_clocks:
            beat = Beat.of(z[config.beat_place : config.key_place], self.weights["beat_frames"])
        if config.keys:
            key = key_channels(float(z[config.key_place]), self.weights["key_shares"])
        return Guides(beat, key)

    def _guided(self, noise: np.ndarray, guides: Guides, first: int, each: int) -> np.ndarray:
        """What a block hears in the frames (T, K) from `first` on of a level with so many in each part."""
        heard, count = [noise], len(noise)
        if guides.beat is not None:
            hops = self.config.frames_per_part // each
            heard.append(guides.beat.clocks(self.config.beat_clocks, (first, first + count), hops))
        if guides.key is not None:
            heard.append(np.broadcast_to(guides.key, (count, len(guides.key))))
        return np.concatenate(heard, -1) if len(heard) > 1 else noise

    def _deepest(self, x: np.ndarray, style: np.ndarray, noise: list[np.ndarray], guides: Guides) -> np.ndarray:
        """The blocks of the deepest level, some frames at a time: a long track would need much memory."""
        made, total, each = np.empty_like(x), len(x), self.config.base_frames
        for first in range(0, total, DEEPEST_AT_ONCE):
            wanted = Span(first, min(first + DEEPEST_AT_ONCE, total))
            enters = wanted.wider(2 * len(noise), total)
            parts, some = enters.parts(each), x[enters.within(0)]
            own = style if len(style) == 1 else style[parts.within(0)]
            for number, given in enumerate(noise):
                offset = enters.first - parts.first * each
                heard = self._guided(given[enters.within(0)], guides, enters.first, each)
                some = self._block(f"levels.0.{number}", some, own, heard, each, offset)
            made[wanted.within(0)] = some[wanted.within(enters.first)]
        return made

    def section(self, opening: Opening, first: int, last: int) -> np.ndarray:
        """The coefficients (C, last - first, F) of the frames from `first` to before `last` of the track."""
        wanted = Span(first, last)
        channels, num_bins = self.audio.channels, self.audio.num_bins
        if self.config.partials_per_bin:
            made = self._played(opening, wanted)
        else:
            near = wanted.wider(1, opening.num_frames)
            made = self._conv("to_bins", self._last_level(opening, near))[wanted.within(near.first)]
            made = np.ascontiguousarray(made.reshape(-1, channels, num_bins).transpose(1, 0, 2))
        made *= self.weights["bin_levels"]
        return made

    def _last_level(self, opening: Opening, wanted: Span) -> np.ndarray:
        config = self.config
        spans = level_spans(config, opening.num_frames // config.frames_per_part, wanted)
        some = spans[0].leaves.within(0)
        query, key, value = opening.attention
        x = self._attend(opening.deepest[some], query[:, some], key, value)
        noise = iter(opening.noise)
        for number, span in enumerate(spans[1:], 1):
            if f"steps.{number - 1}.weight" in self.weights:
                x = self._affine(f"steps.{number - 1}", x)
            x = doubled(x)[span.enters.within(2 * spans[number - 1].leaves.first)]
            each = config.generator_level_frames[number]
            parts = span.enters.parts(each)
            style = opening.style if len(opening.style) == 1 else opening.style[parts.within(0)]
            for block in range(config.blocks_per_level):
                given = self._guided(next(noise)[span.enters.within(0)], opening.guides, span.enters.first, each)
                x = self._block(f"levels.{number}.{block}", x, style, given, each, span.enters.first - parts.first * each)
            x = x[span.leaves.within(span.enters.first)]
        return leaky(x)

    def _affine(self, name: str, x: np.ndarray) -> np.ndarray:
        made: np.ndarray = x @ self.weights[f"{name}.weight"].T
        made += self.weights[f"{name}.bias"]
        return made

    def _conv(self, name: str, x: np.ndarray) -> np.ndarray:
        return self._affine(name, np.concatenate([*neighbours(x, between=True)], -1))

    def _block(self, name: str, x: np.ndarray, style: np.ndarray, noise: np.ndarray, each: int, first: int) -> np.ndarray:
        scale, shift = np.split(stretched(self._affine(f"{name}.modulation", style), each, first, len(x)), 2, -1)
        h = leaky(x)
        h *= 1 + scale
        h += shift
        h = self._conv(f"{name}.first", np.concatenate([h, noise], -1))
        updated: np.ndarray = x + self._conv(f"{name}.second", leaky(h))
        return updated

    def _attention(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        heads = self.config.attention_heads
        size = len(self.weights["attention.to_parts.bias"]) // (3 * heads)
        made = np.empty((3, heads, len(x), size), np.float32)
        for first in range(0, len(x), DEEPEST_AT_ONCE):
            some = leaky(x[first : first + DEEPEST_AT_ONCE])
            parts = self._affine("attention.to_parts", some).reshape(len(some), 3, heads, size).transpose(1, 2, 0, 3)
            place = slice(first, first + len(some))
            made[:2, :, place], made[2, :, place] = rotate(unit_power(parts[:2]), first), parts[2]
        return made[0], made[1], made[2]

    def _attend(self, x: np.ndarray, query: np.ndarray, key: np.ndarray, value: np.ndarray) -> np.ndarray:
        scores = query @ key.transpose(0, 2, 1)
        scores *= np.float32(1 / math.sqrt(query.shape[-1]))
        scores -= scores.max(-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(-1, keepdims=True)
        taken = (scores @ value).transpose(1, 0, 2).reshape(len(x), -1)
        updated: np.ndarray = x + self._affine("attention.to_out", taken)
        return updated

    def _clock(self, phases: np.ndarray) -> np.ndarray:
        """cos and sin (2, 4 R, F R) of pi nu_o t + angle_o; empty without partials."""
        num_bins, per_bin = self.audio.num_bins, self.config.partials_per_bin
        if not per_bin:
            return np.zeros((2, 0, 0), np.float32)
        cosine, sine = tables.single(tables.clock_period, num_bins, per_bin).reshape(2, 4 * per_bin, -1)
        if len(phases):
            angles = phases @ tables.single(tables.phase_turns, num_bins, per_bin, len(phases))
            begin, across = np.cos(angles), np.sin(angles)
            cosine, sine = cosine * begin - sine * across, sine * begin + cosine * across
        return np.stack([cosine, sine])

    def _played(self, opening: Opening, wanted: Span) -> np.ndarray:
        """Amplitudes of partials, rendered: (C, T, F)."""
        per_bin, channels, num_bins = self.config.partials_per_bin, self.audio.channels, self.audio.num_bins
        x = self._last_level(opening, wanted)
        responses = tables.single(tables.responses, num_bins, per_bin, self.audio.window, 1)
        real, imaginary = responses * np.float32(EXPANDED_GAIN * EXPANDED_TO**2)
        blocks, block = len(real), real.shape[-1]
        made = np.empty((channels, len(x), blocks * block), np.float32)
        beyond = tables.REACH_BINS * per_bin
        most = min(FRAMES_AT_ONCE, len(x))
        shape = (most, channels, 2, (blocks * block + 2 * tables.REACH_BINS) * per_bin)
        padded = np.zeros(shape, np.float32)
        heard = np.lib.stride_tricks.sliding_window_view(padded, real.shape[1], -1)[..., :: block * per_bin, :]
        for start in range(0, len(x), most):
            few = min(most, len(x) - start)
            given = self._affine("to_bins", x[start : start + few]).reshape(few, channels, 2, -1)
            turned(given, opening.clock, wanted.first + start, padded[:few, :, :, beyond : beyond + num_bins * per_bin])
            # (blocks, few x channels, partials heard)
            u, v = (heard[:few, :, half].reshape(few * channels, blocks, -1).transpose(1, 0, 2) for half in (0, 1))
            both = u @ real
            both += v @ imaginary
            both = both.reshape(blocks, few, channels, block).transpose(2, 1, 0, 3)
            made[:, start : start + few] = both.reshape(channels, few, -1)
        return made[..., :num_bins]


def turned(given: np.ndarray, clock: np.ndarray, first: int, out: np.ndarray) -> None:
    """Write amplitudes (T, C, 2, F R), expanded and turned to their frames from `first` on, to `out`; `given` is used up.

    The constant of the gain is left out: 0.3 (|z|^2 + e) / (1 + |z|^2 / a^2) = 0.3 a^2 (1 - (a^2 - e) / (a^2 + |z|^2)).
    """
    u, v = given[:, :, 0], given[:, :, 1]
    times = np.arange(first, first + len(given)) % clock.shape[1]
    cosine, sine = clock[:, times, None]
    gain = u * u
    spare = v * v
    gain += spare
    gain += np.float32(EXPANDED_TO**2)
    np.divide(np.float32(EXPANSION_FLOOR - EXPANDED_TO**2), gain, out=gain)
    gain += np.float32(1)
    u *= gain
    v *= gain
    np.multiply(u, cosine, out=out[:, :, 0])
    np.multiply(v, sine, out=spare)
    out[:, :, 0] -= spare
    np.multiply(u, sine, out=out[:, :, 1])
    v *= cosine
    out[:, :, 1] += v


def leaky(x: np.ndarray) -> np.ndarray:
    made: np.ndarray = np.maximum(x, np.float32(LEAKY_SLOPE) * x)
    return made


def neighbours(x: np.ndarray, between: bool = False) -> Iterator[np.ndarray]:
    """The frames before and after each frame of (T, ...), with `between` also the frame; at the ends the frame itself."""
    yield np.concatenate([x[:1], x[:-1]])
    if between:
        yield x
    yield np.concatenate([x[1:], x[-1:]])


def doubled(x: np.ndarray) -> np.ndarray:
    before, after = neighbours(x)
    near = np.float32(0.75) * x
    return np.stack([np.float32(0.25) * before + near, near + np.float32(0.25) * after], 1).reshape(-1, x.shape[1])


def stretched(x: np.ndarray, each: int, first: int, count: int) -> np.ndarray:
    if len(x) == 1:
        return x
    before, after = neighbours(x)
    offset = ((np.arange(each, dtype=np.float32) + np.float32(0.5)) / each - np.float32(0.5))[:, None]
    back, ahead = np.maximum(-offset, 0), np.maximum(offset, 0)
    made: np.ndarray = (1 - back - ahead) * x[:, None] + back * before[:, None] + ahead * after[:, None]
    frames: np.ndarray = made.reshape(-1, x.shape[1])
    return frames[first : first + count]


def unit_power(x: np.ndarray) -> np.ndarray:
    made: np.ndarray = x / np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(1e-6))
    return made


def rotate(x: np.ndarray, first: int) -> np.ndarray:
    frames, half = x.shape[-2], x.shape[-1] // 2
    frequencies = ROTARY_BASE ** (-np.arange(half, dtype=np.float32) / half)
    angle = np.outer(np.arange(first, first + frames, dtype=np.float32), frequencies)
    cosine, sine = np.cos(angle), np.sin(angle)
    a, b = np.split(x, 2, -1)
    return np.concatenate([a * cosine - b * sine, a * sine + b * cosine], -1)
