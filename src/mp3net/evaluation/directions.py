"""Sliders: principal directions of a generator, combined so that each changes one thing that can be heard, and measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mp3net.config import Mp3net2Model
from mp3net.errors import Mp3netError
from mp3net.evaluation.attributes import UNITS, attributes
from mp3net.files import write_text
from mp3net.generation import MP3net, SongSettings
from mp3net.generation.latents import latent
from mp3net.generation.steering import FILE, steered_size

# Directions that are considered, and how far songs are moved along each to learn their effects (standard deviation).
DIRECTIONS, SPREAD = 32, 1.0
# A slider moves the latents by at most this share of their own length per unit; what needs more is not offered.
FARTHEST_SHARE = 0.35
# How many standard deviations better than chance directions must explain an attribute.
SURELY = 2.5
# Attributes that always change together are not told apart: singular values below this share of the largest are left out.
SEPARABLE = 0.15
CLIP_S = 8.0
FIRST_SEED = 10_000
SAMPLES = 500

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Slider:
    """A direction, and what one unit of it does to fresh songs: means with 95 % intervals, by attribute."""

    name: str
    direction: np.ndarray
    effects: dict[str, tuple[float, float, float]]


@dataclass(frozen=True)
class Found:
    """Sliders, and why there is none for the other attributes."""

    sliders: list[Slider]
    left_out: dict[str, str]


def principal_directions(weights: Mapping[str, np.ndarray], model: Any, count: int) -> np.ndarray:
    """(count, G or Z) unit vectors, along which the generator's first layers react most: the eigenvectors of E[J'J].

    J is the derivative of what enters the network with respect to the latents: of the styles for the second family, of the
    deepest frames for the paper's. Leaky ReLU has the slope 1 or 0.2, by the sign of its argument.
    """
    random = np.random.default_rng(0)
    if isinstance(model, Mp3net2Model):
        first, bias, second = (weights[f"mapping.{name}"] for name in ("0.weight", "0.bias", "1.weight"))
    else:
        first, bias, second = weights["dense.weight"], weights["dense.bias"], None
    total = np.zeros((first.shape[1], first.shape[1]))
    for _ in range(SAMPLES if second is not None else 50):
        slopes = np.where(first @ random.standard_normal(first.shape[1]) + bias > 0, 1.0, 0.2)
        steepness = slopes[:, None] * first
        steepness = second @ steepness if second is not None else steepness
        total += steepness.T @ steepness
    _, vectors = np.linalg.eigh(total)
    return np.asarray(vectors[:, ::-1][:, :count].T)


def candidates(weights: Mapping[str, np.ndarray], model: Any) -> np.ndarray:
    """Unit vectors in the leading latents: the principal directions, and the number that picks the beat if there is one."""
    principal = principal_directions(weights, model, DIRECTIONS)
    if not isinstance(model, Mp3net2Model) or not model.beat_clocks:
        return principal
    found = np.zeros((len(principal) + 1, model.common_size))
    found[:-1, : model.global_dim] = principal
    found[-1, model.beat_place] = 1.0
    return found


def find_sliders(model: MP3net, songs: int = 1500, progress: Progress | None = None) -> Found:
    """Learn from `songs` moved songs what the directions do, combine them, and measure each slider on a third as many.

    With J (attributes x directions) from least squares, in standard deviations between songs, slider a is the column a of
    the pseudoinverse of J: it changes attribute a by one of them and, to first order, no other.
    """
    songs = max(songs, 4 * DIRECTIONS)
    weights = {name: value.numpy() for name, value in model.generator.state_dict().items()}
    directions = candidates(weights, model.config.model)
    total = 2 * songs + len(UNITS) * (songs // 3) * 2
    meter = _Meter(model, progress or (lambda done, of: None), total)
    random = np.random.default_rng(1)
    amounts = SPREAD * random.standard_normal((songs, len(directions)))
    seeds = range(FIRST_SEED, FIRST_SEED + songs)
    base = meter([(seed, None) for seed in seeds])
    moved = meter([(seed, amount @ directions) for seed, amount in zip(seeds, amounts, strict=True)])
    spreads = {name: float(base[name].std()) for name in UNITS}
    changes = np.stack([(moved[name] - base[name]) / max(spreads[name], 1e-9) for name in UNITS], 1)
    jacobian = np.linalg.lstsq(amounts, changes, rcond=None)[0].T
    explained = 1 - (changes - amounts @ jacobian.T).var(0) / np.maximum(changes.var(0), 1e-9)
    # By chance alone k directions explain k / n of the variance between n songs, give or take sqrt(2 / k) of that; what they
    # explain no better would only disturb the others.
    by_chance = amounts.shape[1] / len(amounts)
    steered = explained > by_chance * (1 + SURELY * (2 / amounts.shape[1]) ** 0.5)
    steered &= changes.std(0) > 1e-6
    meter.total -= 2 * (songs // 3) * int((~steered).sum())
    sliders = np.zeros((len(UNITS), directions.shape[1]))
    sliders[steered] = np.linalg.pinv(jacobian[steered], rcond=SEPARABLE).T @ directions
    return _measured(meter, dict(zip(UNITS, sliders, strict=True)), songs // 3, spreads)


def _measured(meter: _Meter, directions: dict[str, np.ndarray], songs: int, spreads: dict[str, float]) -> Found:
    """Keep sliders that are not too long and that do, on fresh songs, what they are called after."""
    seeds = range(2 * FIRST_SEED, 2 * FIRST_SEED + songs)
    sliders, left_out = [], {}
    for name, direction in directions.items():
        length = float(np.linalg.norm(direction))
        if not length:
            left_out[name] = "no direction changes it more than chance does"
            continue
        direction = direction * min(1.0, FARTHEST_SHARE * steered_size(meter.model.config.model) ** 0.5 / length)
        up, down = (meter([(seed, sign * direction) for seed in seeds]) for sign in (1, -1))
        effects = {other: _interval((up[other] - down[other]) / 2) for other in UNITS}
        own, low, _ = effects[name]
        if low <= 0 or own < 0.25 * spreads[name]:
            left_out[name] = (
                f"no direction changes it enough: {own:.2g} {UNITS[name]} ({low:.2g} at least) by the longest step, where "
                f"songs differ by {spreads[name]:.2g}"
            )
        else:
            sliders.append(Slider(name, direction, effects))
    return Found(sliders, left_out)


class _Meter:
    """Makes songs and listens to them."""

    def __init__(self, model: MP3net, progress: Progress, total: int) -> None:
        self.model, self.progress, self.total, self.done = model, progress, total, 0
        self.duration_s = CLIP_S if model.any_length else None

    def __call__(self, songs: list[tuple[int, np.ndarray | None]]) -> dict[str, np.ndarray]:
        """Attributes of the songs of these seeds, whose leading latents are moved."""
        found: list[dict[str, np.ndarray]] = []
        config = self.model.config
        frames = self.model.latent_frames(self.duration_s)
        for seed, move in songs:
            settings = SongSettings(seed=seed, duration_s=self.duration_s)
            z = latent(settings, config.model, frames)
            if move is not None:
                z[: len(move)] += move.astype(np.float32)
            audio = self.model.player.sound(self.model.player.begin(z), 0, frames)
            if not np.isfinite(audio).all():
                raise Mp3netError(f"seed {seed}: the model gives non-finite samples; its weights are damaged")
            found.append(attributes(audio[None], config.audio.sample_rate_hz))
            self.done += 1
            self.progress(self.done, self.total)
        return {name: np.concatenate([one[name] for one in found]) for name in UNITS}


def _interval(values: np.ndarray) -> tuple[float, float, float]:
    mean, error = float(values.mean()), 1.96 * float(values.std(ddof=1)) / len(values) ** 0.5
    return mean, mean - error, mean + error


def save_sliders(found: Found, model: MP3net) -> Path:
    """Write them beside the snapshot's weights."""
    assert model.snapshot is not None
    path = model.snapshot.folder / FILE
    sliders = {
        slider.name: {
            "unit": UNITS[slider.name],
            "effects": {name: [round(number, 4) for number in effect] for name, effect in slider.effects.items()},
            "direction": [round(float(number), 5) for number in slider.direction],
        }
        for slider in found.sliders
    }
    try:
        content = {"format_version": 1, "weights": model.snapshot.digest, "sliders": sliders, "left_out": found.left_out}
        write_text(path, json.dumps(content) + "\n")
    except OSError as error:
        raise Mp3netError(f"{path}: cannot be written: {error.strerror}") from None
    return path
