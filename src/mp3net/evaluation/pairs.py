"""A blind pair test by machine: of a real and a judged excerpt, how often does a small classifier choose the wrong one?

A convolutional network learns to tell excerpts of a second of the two sets apart, by their log-mel spectrograms. It is asked
only about clips of recordings and songs that it has not learned from: both sets are divided into folds by unit, and each
fold is judged by a network that has learned from the others. The pair error is the share of pairs in which it takes the
judged excerpt for the real one: 1 minus the area under its receiver operating characteristic. A half means that it has to
guess, 0 that it is never wrong (classifier two-sample tests, 1610.06545).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mp3net.evaluation.embeddings import log_mel_db
from mp3net.evaluation.spectrum import Features

# Names of features: the excerpts, and the recording or song of each clip, as a column.
LEVELS, UNITS = "pairs/levels", "pairs/units"
EXCERPT_S = 1.0
MOST_EXCERPTS = 6
# Two hops of the log-mel spectrogram, 23 ms, as one: four times less work, and onsets are still onsets.
POOLED_FRAMES = 2
FOLDS = 4
SEEDS = 3
STEPS = 150
BATCH = 64
RATE = 2e-3
WEIGHT_DECAY = 1e-2
CHANNELS = 24
KERNELS = (5, 3, 3)
SLOPE = 0.2
CHANCE = 0.5


def excerpts(audio: np.ndarray, sample_rate_hz: int) -> Features:
    """Clips (n, C, S) -> "levels": log-mel spectrograms in dB (n, E, bands, frames) of at most six excerpts of a second,
    evenly spread and without overlap; shorter clips are one excerpt."""
    level = F.avg_pool1d(log_mel_db(torch.from_numpy(audio), sample_rate_hz), POOLED_FRAMES)
    seconds = audio.shape[-1] / sample_rate_hz
    count = min(max(int(seconds / EXCERPT_S), 1), MOST_EXCERPTS)
    size = min(max(round(level.shape[-1] * EXCERPT_S / seconds), 1), level.shape[-1] // count)
    starts = np.linspace(0, level.shape[-1] - size, count).round().astype(int)
    return {"levels": torch.stack([level[..., start : start + size] for start in starts], 1).numpy()}


class PairTest:
    """The outcome of all folds and seeds, from which the error of any choice of clips follows.

    Excerpts are (n, E, bands, frames); `units` (n,) number the recording or song of each clip: no unit is in two folds.
    Of a set with fewer units than folds the clips themselves are divided. The same sets give the same outcome.
    """

    def __init__(
        self, real: np.ndarray, real_units: np.ndarray, judged: np.ndarray, judged_units: np.ndarray, seeds: int = SEEDS
    ) -> None:
        centre, scale = real.mean((0, 1, 3), keepdims=True), max(float(real.std()), 1e-3)
        sets = [torch.from_numpy((levels - centre) / scale).float() for levels in (real, judged)]
        # Of each pair of clips in one fold, the share of pairs of their excerpts in which the classifier is wrong.
        self.wrong = np.zeros((len(real), len(judged)))
        self.asked = np.zeros((len(real), len(judged)))
        self.by_seed = [self._add(sets, (real_units, judged_units), seed) for seed in range(seeds)]

    def _add(self, sets: list[Tensor], units: tuple[np.ndarray, np.ndarray], seed: int) -> float:
        random = np.random.default_rng(seed)
        folds = [divided(own, random) for own in units]
        wrong, asked = np.zeros_like(self.wrong), np.zeros_like(self.asked)
        for fold in range(FOLDS):
            learned = [levels[torch.from_numpy(own != fold)] for levels, own in zip(sets, folds, strict=True)]
            source = torch.Generator().manual_seed(seed * FOLDS + fold)
            classifier = trained(learned[0], learned[1], source)
            rows, columns = (np.flatnonzero(own == fold) for own in folds)
            real, judged = (classifier(levels[place]) for levels, place in zip(sets, (rows, columns), strict=True))
            wrong[np.ix_(rows, columns)] = mistakes(real.numpy(), judged.numpy())
            asked[np.ix_(rows, columns)] = 1
        self.wrong += wrong
        self.asked += asked
        return float(wrong.sum() / asked.sum())

    def error(self, real: np.ndarray, judged: np.ndarray) -> float:
        """The pair error of the clips with these numbers."""
        chosen = np.ix_(real, judged)
        asked = self.asked[chosen].sum()
        return float(self.wrong[chosen].sum() / asked) if asked else CHANCE


def divided(units: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The fold (n,) of each clip: units in random order are dealt out in turn."""
    if len(np.unique(units)) < FOLDS:
        units = np.arange(len(units))
    distinct = random.permutation(np.unique(units))
    dealt = dict(zip(distinct.tolist(), (np.arange(len(distinct)) % FOLDS).tolist(), strict=True))
    return np.array([dealt[unit] for unit in units.tolist()])


def mistakes(real: np.ndarray, judged: np.ndarray) -> np.ndarray:
    """Scores (n, E) of real and (m, E) of judged excerpts, larger for more real -> (n, m), the share of pairs of excerpts of
    two clips in which the judged one has the larger score; ties count half."""
    lower = real[:, None, :, None] < judged[None, :, None, :]
    equal = real[:, None, :, None] == judged[None, :, None, :]
    return np.asarray((lower + 0.5 * equal).mean((2, 3)))


def trained(real: Tensor, judged: Tensor, source: torch.Generator) -> Callable[[Tensor], Tensor]:
    """A classifier that has learned from both sets (n, E, bands, frames); it gives a score to each excerpt (n, E)."""
    weights = _fresh(source)
    optimiser = torch.optim.AdamW(weights, RATE, weight_decay=WEIGHT_DECAY, foreach=True)
    sets = [levels.flatten(0, 1)[:, None] for levels in (real, judged)]
    target = torch.cat([torch.ones(BATCH // 2), torch.zeros(BATCH // 2)])
    for step in range(STEPS):
        for group in optimiser.param_groups:  # the second half of the steps is ever smaller
            group["lr"] = RATE * min(1.0, 2 * (STEPS - step) / STEPS)
        batch = torch.cat([some[torch.randint(len(some), (BATCH // 2,), generator=source)] for some in sets])
        loss = F.binary_cross_entropy_with_logits(_scores(batch, weights), target)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    @torch.no_grad()
    def classifier(levels: Tensor) -> Tensor:
        return _scores(levels.flatten(0, 1)[:, None], weights).view(levels.shape[:2])

    return classifier


def _fresh(source: torch.Generator) -> list[Tensor]:
    """Kernels and biases of the convolutions, then of the last, which sees one place."""
    channels = [1] + [CHANNELS] * len(KERNELS)
    shapes = [(after, before, size, size) for before, after, size in zip(channels, channels[1:], KERNELS, strict=False)]
    weights = []
    for shape in [*shapes, (1, CHANNELS, 1, 1)]:
        gain = math.sqrt(2 / math.prod(shape[1:]))
        weights += [gain * torch.randn(shape, generator=source), torch.zeros(shape[0])]
    return [weight.requires_grad_() for weight in weights]


def _scores(x: Tensor, weights: list[Tensor]) -> Tensor:
    """(n, 1, bands, frames) -> (n,): the mean over all places."""
    *layers, last = zip(weights[::2], weights[1::2], strict=True)
    for kernel, bias in layers:
        x = F.leaky_relu(F.conv2d(x, kernel, bias, stride=2, padding=kernel.shape[-1] // 2), SLOPE)
    return F.conv2d(x, *last).mean((1, 2, 3))
