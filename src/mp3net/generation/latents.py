"""The random numbers that songs are made from, by numpy alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mp3net.config import ModelConfig, Mp3net2Model
from mp3net.dsp.beats import Beat, in_time
from mp3net.errors import Mp3netError

if TYPE_CHECKING:
    from mp3net.generation.song_settings import SongSettings
    from mp3net.generation.steering import Sliders

MAX_SEED = 2**32 - 1  # the generator's state is made from 32 bits: larger seeds would repeat songs
# Normal numbers come in groups of so many.
GROUP = 16
# As many parts before and after are heard by a step of a morph, as far as there are: 12 s with the bundled model.
PARTS_AROUND = 8
# So many are drawn at a time, which saves memory.
AT_ONCE = 2**16


def normal(seed: int, count: int) -> np.ndarray:
    """(count,) normal numbers of a seed, float32: those that `torch.randn` draws on the CPU, up to rounding.

    The Mersenne Twister's 32-bit words give uniform numbers u of 24 bits. Of each group of 16 the first 8, as 1 - u, and the
    last 8 become a = sqrt(-2 log(1 - u)) cos(2 pi u') and a sin(2 pi u') (Box and Muller). An incomplete group at the end is
    drawn anew as the last 16 numbers; fewer than 16 numbers are drawn in pairs, in double precision.
    Errors: Mp3netError for a seed out of range.
    """
    check_seed(seed)
    source = np.random.RandomState(seed)
    if count < GROUP:
        return _in_pairs(source, count)
    drawn, whole = np.empty(count, np.float32), count // GROUP * GROUP
    for start in range(0, whole, AT_ONCE):
        end = min(start + AT_ONCE, whole)
        drawn[start:end] = _transformed(_uniform(source, end - start))
    if whole < count:
        _words(source, count - whole)  # the incomplete group's own numbers, which are not used
        drawn[-GROUP:] = _transformed(_uniform(source, GROUP))
    return drawn


def check_seed(seed: object) -> None:
    """Errors: Mp3netError if it is no seed."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MAX_SEED:
        raise Mp3netError(f"seed {seed!r}: seeds are whole numbers from 0 to {MAX_SEED}")


def _words(source: np.random.RandomState, count: int) -> np.ndarray:
    return np.frombuffer(source.bytes(4 * count), "<u4")


def _uniform(source: np.random.RandomState, count: int) -> np.ndarray:
    return (_words(source, count) & (2**24 - 1)).astype(np.float32) * np.float32(2**-24)


def _transformed(uniform: np.ndarray) -> np.ndarray:
    first, last = uniform.reshape(-1, 2, GROUP // 2).transpose(1, 0, 2)
    radius = np.sqrt(np.float32(-2) * np.log(np.float32(1) - first))
    angle = np.float32(2 * math.pi) * last
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).ravel()


def _in_pairs(source: np.random.RandomState, count: int) -> np.ndarray:
    pairs = -(-count // 2)
    high, low = _words(source, 4 * pairs).astype(np.uint64).reshape(-1, 2).T
    uniform = ((high << np.uint64(32) | low) & np.uint64(2**53 - 1)).astype(float) * 2.0**-53
    turn, size = uniform.reshape(-1, 2).T
    radius = np.sqrt(-2 * np.log1p(-size))
    angle = 2 * math.pi * turn
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).ravel()[:count].astype(np.float32)


def latent(
    settings: SongSettings, model: ModelConfig, num_frames: int, seed: int | None = None, sliders: Sliders | None = None
) -> np.ndarray:
    """The random numbers (Z,) of a song of so many frames; with `seed`, of that point of its path.

    Errors: Mp3netError for settings that only the second family has."""
    check(settings, model)
    size = model.latent_size(num_frames)
    z = normal(settings.seed if seed is None else seed, size)
    if settings.local_seed is not None:
        common = _second(model, "local seed").common_size
        z[common:] = normal(settings.local_seed, size)[common:]
    if settings.strength:
        angle = settings.strength * math.pi / 2
        z = np.float32(math.cos(angle)) * z + np.float32(math.sin(angle)) * normal(settings.variation, size)
    if settings.form:
        repeat(z, settings.form, _second(model, "form"))
    if settings.truncation != 1:
        for numbers in _steering(z, model):
            numbers *= np.float32(settings.truncation)
    if sliders is not None:
        sliders.move(z, settings.sliders)
    return z


def check(settings: SongSettings, model: ModelConfig) -> None:
    """Errors: Mp3netError for settings that this family does not have."""
    if settings.local_seed is not None:
        _second(model, "local seed")
    if settings.form:
        _second(model, "form")


def repeat(z: np.ndarray, form: str, model: Mp3net2Model) -> None:
    """Give sections with equal letters the same parts. Sections are equally long; what is left over ends the last one."""
    parts = z[model.common_size :].reshape(-1, model.part_size)
    each = len(parts) // len(form)
    for number, letter in enumerate(form):
        first = form.index(letter)
        parts[number * each : (number + 1) * each] = parts[first * each : (first + 1) * each]


def between(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    """From a (share 0) to b (share 1) on the great circle (spherical interpolation): as normal as they are.

    sin((1 - s) w) / sin(w) a + sin(s w) / sin(w) b, w being the angle between a and b; a straight line if that is 0."""
    cosine = float(a @ b) / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12)
    angle = math.acos(min(max(cosine, -1.0), 1.0))
    if math.sin(angle) < 1e-4:
        return np.float32(1 - share) * a + np.float32(share) * b
    first, second = math.sin((1 - share) * angle) / math.sin(angle), math.sin(share * angle) / math.sin(angle)
    return np.float32(first) * a + np.float32(second) * b


def around(z: np.ndarray, model: ModelConfig, first: int, last: int) -> tuple[np.ndarray, int]:
    """What the frames from `first` to before `last` of a long track can be made from: the common latents with the parts up
    to `PARTS_AROUND` before and after, and the frame with which they begin. The paper's networks need all of z.

    That frame is a multiple of the period of the partials' clock, so that tones go on where the next piece begins."""
    if not isinstance(model, Mp3net2Model):
        return z, 0
    common, size, each = model.common_size, model.part_size, model.frames_per_part
    period = 4 * model.partials_per_bin or 1
    step = math.lcm(each, period) // each
    begin = max(first // each - PARTS_AROUND, 0) // step * step
    end = -(-last // each) + PARTS_AROUND
    return np.concatenate([z[:common], z[common + begin * size : common + end * size]]), begin * each


def keep_the_beat(
    z: np.ndarray, model: ModelConfig, beat_frames: np.ndarray | None, start: int, end: int, bars: float | None
) -> float | None:
    """Change z so that so many bars have gone by at frame `start`, and say how many at frame `end`, at the tempo of z.

    Steps of a path differ in tempo: each on its own would be anywhere in its bar. Without bars, z begins as it would by
    itself; without a beat (`beat_frames`, its quantiles in frames), nothing changes."""
    if beat_frames is None or not isinstance(model, Mp3net2Model):
        return None
    beat = slice(model.beat_place, model.key_place)
    if bars is not None:
        z[beat] = in_time(z[beat], beat_frames, start, bars)
    return float(Beat.of(z[beat], beat_frames).bars(np.array(end)))


def _steering(z: np.ndarray, model: ModelConfig) -> list[np.ndarray]:
    """Views of the numbers that decide what is played: all of them, or the global and the local latents."""
    if not isinstance(model, Mp3net2Model):
        return [z]
    return [z[: model.global_dim], z[model.common_size :].reshape(-1, model.part_size)[:, : model.local_dim]]


def _second(model: ModelConfig, what: str) -> Mp3net2Model:
    if not isinstance(model, Mp3net2Model):
        raise Mp3netError(f"{what}: the paper's networks have one latent for the whole track; it needs the second family")
    return model
