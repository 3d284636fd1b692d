"""Structure over time: made-up chroma and onset curves with known answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mp3net.evaluation import structure
from tests.recordings import piece

RATE = 11008


def chord(*classes: int) -> np.ndarray:
    out = np.full(12, 0.01)
    out[list(classes)] = 1
    return out / out.sum()


C_MAJOR = [chord(0, 4, 7), chord(5, 9, 0), chord(7, 11, 2), chord(0, 4, 7)]


def test_keys_by_hand():
    scale = np.zeros(12)
    scale[[0, 2, 4, 5, 7, 9, 11]] = 1
    scale[[0, 7]] += 1
    assert structure.best_key(scale) == 0
    assert structure.best_key(np.roll(scale, 5)) == 5
    minor = np.zeros(12)
    minor[[9, 11, 0, 2, 4, 5, 8]] = 1
    minor[[9, 4]] += 1
    assert structure.best_key(minor) == 12 + 9


def test_key_stability_of_one_and_of_two_keys():
    steady = np.array(C_MAJOR * 12)
    assert structure.key_stability(steady) == 1
    moved = np.concatenate([steady[:32], np.roll(steady[:16], 6, axis=1)])
    # 48 blocks hold eight windows of ten blocks, every five; of the first 32 blocks the first six have most.
    assert structure.key_stability(moved) == pytest.approx(6 / 8)


def test_recurrence_of_a_repeated_and_of_an_unrepeated_passage():
    random = np.random.default_rng(0)
    first = random.dirichlet(np.ones(12), 20)
    assert structure.recurrence(np.concatenate([first] * 3)) == pytest.approx(1, abs=1e-6)
    other = random.dirichlet(np.ones(12), 20)
    assert structure.recurrence(np.concatenate([first, other])) < 0.6


def clicks(period_s: float, seconds: float, frames_per_s: float = 86.0) -> np.ndarray:
    times = np.arange(0, seconds, period_s)
    grid = np.arange(round(seconds * frames_per_s)) / frames_per_s
    return np.exp(-0.5 * ((grid[:, None] - times) / 0.02) ** 2).sum(1)


def test_beat_of_a_steady_and_of_a_changing_pulse():
    strength, spread = structure.local_tempo(clicks(0.5, 30), 86.0)
    assert strength > 0.8
    assert spread < 0.02
    changing = np.concatenate([clicks(0.5, 12), clicks(0.65, 12), clicks(0.4, 12)])
    assert structure.local_tempo(changing, 86.0)[1] > 0.1
    noise = np.random.default_rng(0).random(2580)
    assert structure.local_tempo(noise, 86.0)[0] < 0.4
    assert structure.local_tempo(np.zeros(2580), 86.0)[0] == 0


def test_pulse_needs_the_phase_to_hold():
    steady = clicks(0.5, 24)
    assert structure.pulse(steady, 86.0) > 0.8
    broken = np.concatenate([clicks(0.5, 2.0 + 0.13 * (k % 4)) for k in range(11)])
    assert structure.pulse(broken, 86.0) < 0.75 * structure.pulse(steady, 86.0)


def test_autocorrelation_by_loops():
    curve = np.random.default_rng(1).random(50)
    centred = curve - curve.mean()
    expected = [np.mean(centred[: 50 - lag] * centred[lag:]) / np.mean(centred**2) for lag in range(50)]
    assert np.allclose(structure.autocorrelation(curve), expected)


def test_chroma_of_a_known_chord():
    time = np.arange(RATE * 12) / RATE
    clip = sum(np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * time) for pitch in (60, 64, 67))
    chroma = structure.chroma_blocks(torch.from_numpy((0.1 * clip).astype(np.float32))[None, None], RATE)
    assert chroma.shape == (1, 24, 12)
    assert np.allclose(chroma.sum(-1), 1)
    assert set(np.argsort(-chroma[0, 5])[:3]) == {0, 4, 7}
    assert chroma[0, 5][[0, 4, 7]].sum() > 0.7


def test_thirds_by_hand():
    mel = np.zeros((1, 30, 4))
    mel[:, 20:] = 3.0
    assert structure.thirds_timbre_db(mel) == pytest.approx(3)
    chroma = np.stack([C_MAJOR[0]] * 20 + [np.roll(C_MAJOR[0], 6)] * 10)[None]
    assert structure.thirds_chroma(chroma) < 0
    assert structure.thirds_chroma(np.stack([C_MAJOR[0]] * 30)[None]) == pytest.approx(1)


def test_level_curve_in_closed_form():
    clip = torch.ones(1, 1, RATE * 10) * 0.1
    clip[..., RATE * 5 :] = 0.01
    levels = structure.block_levels_db(clip, RATE)
    assert levels.shape == (1, 20)
    assert np.allclose(levels[0], [-20] * 10 + [-40] * 10, atol=0.01)


def test_all_features_of_a_piece_are_finite():
    clips = np.stack([piece(12.0, RATE, seed).T for seed in range(2)] + [np.zeros((1, 12 * RATE), np.float32)])
    features = structure.structure_features(clips, RATE)
    assert all(values.shape == (3,) and np.isfinite(values).all() for values in features.values())
    assert features["beat_strength"][:2].min() > 0.4
    assert features["level_spread_db"][2] == 0
