"""In which statistics of what the discriminator hears do songs differ from recordings, in units of chance?

    python benchmarks/heard.py DATA RUN...

COUNT clips of 5.9 s of each run, as many held-out ones and twice as many of training recordings, of the lab's seeds, with
masking noise as in training and the first network's front-end (`model/mp3net2/front_end.py`). Of the level above the masking
threshold, of loudness (the threshold itself) and of the turn of phase between frames: means over clips of what the frames
of each clip make of each bin or pair of bands. With the mean a of n clips and b of m recordings, whose statistic has the
covariance S from clip to clip,

    E|a - b|^2 = (1/n + 1/m) tr S    if these clips are as recordings,

so |a - b|^2 over that is near 1 for what cannot be told apart. What is far above it, and above what held-out recordings
have, is what a training has left to learn, and what its recipe should be asked about. (Loudness is smooth over frequency, so
that its own distribution and mean scatter from 0 to 4.) A minute and a half per run on one core.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from lab.ears import Ears, clips_beside, data_and_runs
from torch import Tensor

from mp3net.model.mp3net2.front_end import LEVEL, LOUDNESS, TURN

COUNT = 64
# Centres of eight soft classes, among which are nearly all values of the chorales.
CLASSES = {LEVEL: torch.linspace(0.0, 4.0, 8), LOUDNESS: torch.linspace(-1.0, 2.0, 8)}
BAND_EDGES = [0, 3, 6, 9, 12, 16, 20, 26, 32, 42, 52, 64, 80, 104, 128, 176, 256]
STEP_FLOOR = 0.01
# Below this loudness there is silence, which few clips have much of: its depth would drown everything else.
SILENCE = -1.0
# Features (n, T, 6, F) of clips -> one tensor per clip (n, ...).
Statistic = Callable[[Tensor], Tensor]


def distribution(kind: int) -> Statistic:
    """Of each bin, the shares of time above eight values, with soft edges."""
    centres = CLASSES[kind]
    softness = float(centres[1] - centres[0]) / 2
    return lambda x: torch.stack([torch.sigmoid((x[:, :, kind] - centre) / softness).mean(1) for centre in centres], 1)


def mean(kind: int) -> Statistic:
    return lambda x: x[:, :, kind].mean(1)


def spread(kind: int) -> Statistic:
    """The standard deviation over time of each bin."""
    return lambda x: x[:, :, kind].std(1)


def bands(x: Tensor, kind: int) -> Tensor:
    """(n, T, 6, F) -> (n, T, 16): means of the bins of each band."""
    return torch.stack([x[:, :, kind, first:last].mean(2) for first, last in pairwise(BAND_EDGES)], 2)


def covariance(kind: int, lag: int) -> Statistic:
    """Of each pair of bands within a clip, one of them `lag` frames later."""

    def found(x: Tensor) -> Tensor:
        away = bands(x, kind)
        away = away - away.mean(1, keepdim=True)
        before, after = away[:, : away.shape[1] - lag], away[:, lag:]
        return torch.einsum("bti,btj->bij", before, after) / before.shape[1]

    return found


def steps_together(kind: int, lag: int) -> Statistic:
    """Of each pair of bands, how far they rise and fall together after `lag` frames, whatever the size of the step."""

    def found(x: Tensor) -> Tensor:
        levels = bands(x, kind)
        step = levels[:, lag:] - levels[:, :-lag]
        step = step / (step.square() + STEP_FLOOR).sqrt()
        return torch.einsum("bti,btj->bij", step, step) / step.shape[1]

    return found


def turn(harmonic: int) -> Statistic:
    """The harmonic of the place of partials within their bins, in both directions of the plane."""

    def found(x: Tensor) -> Tensor:
        along, across = x[:, :, TURN].unbind(2)
        turned = torch.complex(along, across)
        length = turned.abs()
        powers = (turned / (length + 1e-3)) ** harmonic * length.clamp(max=1)
        return torch.cat([powers.real.mean(1), powers.imag.mean(1)], 1)

    return found


def statistics() -> dict[str, Statistic]:
    found: dict[str, Statistic] = {}
    for name, kind in (("level", LEVEL), ("loudness", LOUDNESS)):
        found |= {
            f"{name}: distribution": distribution(kind),
            f"{name}: mean": mean(kind),
            f"{name}: spread over time": spread(kind),
            f"{name}: bands at once": covariance(kind, 0),
            f"{name}: bands after 8 frames": covariance(kind, 8),
            f"{name}: steps of bands after 1 frame": steps_together(kind, 1),
            f"{name}: steps of bands after 4 frames": steps_together(kind, 4),
        }
    return found | {f"turn: harmonic {number}": turn(number) for number in (1, 2, 3, 8)}


def heard(clips: np.ndarray, ears: Ears) -> Tensor:
    """Clips (n, 1, S) -> features (n, T, 6, F), the loudness without its gain."""
    noise = torch.Generator().manual_seed(1)
    found = torch.cat([features[:, :, :, 0] for features in ears.features(clips, noise)])
    found[:, :, LOUDNESS] = (found[:, :, LOUDNESS] / ears.front_end.loudness_gain).clamp(min=SILENCE)
    return found


def in_chances(statistic: Statistic, real: Tensor, judged: Tensor) -> float:
    """The squared distance of the means of `judged` and `real`, in units of what it is for more clips like `real`."""
    of_real, of_judged = statistic(real), statistic(judged)
    chance = (1 / len(judged) + 1 / len(real)) * of_real.var(0).sum()
    return float((of_judged.mean(0) - of_real.mean(0)).square().sum() / chance)


def main() -> None:
    options = data_and_runs(__doc__)
    ears = Ears(options.runs[0])
    clips = clips_beside(options.data, options.runs, ears.audio, COUNT)
    real = torch.cat([heard(next(clips)[1], ears) for _ in range(2)])
    for name, judged in clips:
        features = heard(judged, ears)
        between, of_real = (float(found[:, :, LOUDNESS].mean(1).std(0).mean()) for found in (features, real))
        print(f"{name}: standard deviation of clips' mean loudness {between:.3f} (recordings {of_real:.3f})")
        for statistic, function in statistics().items():
            print(f"{name}: {statistic} {in_chances(function, real, features):.1f}", flush=True)


if __name__ == "__main__":
    main()
