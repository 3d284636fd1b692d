"""Each metric orders the rungs of the ladder as it claims; each rung is what it says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mp3net.dsp.mdct import mdct
from mp3net.evaluation import ladder
from mp3net.evaluation.metrics import FAMILIES
from tests.evaluation.conftest import RATE
from tests.recordings import piece

METRICS = [metric for family in FAMILIES for metric in family.metrics]
LONG = [metric.name for metric in METRICS if metric.group == "structure" or metric.name == "stereo_correlation"]
PAIRS = [metric.name for metric in METRICS if metric.group == "pairs"]
COMPUTED = [metric.name for metric in METRICS if metric.name not in (*LONG, *PAIRS)]
ALL = [*COMPUTED, *(pytest.param(name, marks=pytest.mark.slow) for name in (*LONG, *PAIRS))]
# A metric is blind to a fault that moves it by less than this share of what the worst rung does.
BLIND_SHARE = 0.2


@pytest.fixture
def result(name, request):
    """The result of a metric, from the evaluation of short clips, that of long stereo ones or that of the pair test."""
    fixture = "long_evaluation" if name in LONG else "pair_evaluation" if name in PAIRS else "evaluation"
    return request.getfixturevalue(fixture).result(name)


@pytest.mark.parametrize("name", ALL)
def test_metric_sees_what_it_claims_to_see(result, name):
    assert result.unseen == []


@pytest.mark.parametrize("name", ALL)
def test_metric_is_blind_to_what_it_claims_to_be_blind_to(result, name):
    worst = max(score.deviation.value for score in result.ladder.values())
    for rung in result.metric.blind:
        excess = result.ladder[rung].deviation.value - result.floor.deviation.high
        assert excess < BLIND_SHARE * worst, f"{name} sees {rung}"


@pytest.mark.parametrize("name", COMPUTED)
def test_unseen_pieces_of_the_same_kind_are_near_the_floor(result, name):
    worst = max(score.deviation.value for score in result.ladder.values())
    assert result.score.deviation.value < max(2 * result.floor.deviation.high, 0.35 * worst)


def test_claims_name_rungs_that_exist():
    rungs = {rung.name for rung in ladder.RUNGS}
    for metric in METRICS:
        assert {*metric.sees, *metric.blind} <= rungs
        assert not {*metric.sees} & {*metric.blind}


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    return np.ascontiguousarray(piece(3.0, RATE, 5, channels=2).T)


def spoil(rung_name: str, clip: np.ndarray) -> np.ndarray:
    rung = next(rung for rung in ladder.FAULTS if rung.name == rung_name)
    out = rung.fault(clip.copy(), RATE, np.random.default_rng(1))
    assert out.shape == clip.shape
    assert out.dtype == np.float32
    return out


def rms_db(x: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(x, dtype=np.float64))))


def band_levels_db(x: np.ndarray) -> np.ndarray:
    power = np.abs(np.fft.rfft(x)) ** 2
    frequency = np.fft.rfftfreq(x.shape[-1], 1 / RATE)
    edges = 125 * 2.0 ** np.arange(0, 6)
    return np.array([10 * np.log10(power[:, (frequency >= a) & (frequency < 2 * a)].sum(1)) for a in edges[:-1]])


def test_faint_noise_is_at_70_db(clip):
    assert abs(rms_db(spoil("faint noise", clip) - clip) + 70) < 0.1


def test_random_signs_keep_magnitudes(clip):
    before, after = (mdct(torch.from_numpy(x), 64).abs().numpy() for x in (clip, spoil("random signs", clip)))
    # The first and last frames lose what reaches beyond the clip.
    assert np.abs(after - before)[:, 2:-2].max() < 1e-6
    assert np.abs(np.corrcoef(clip.ravel(), spoil("random signs", clip).ravel())[0, 1]) < 0.1


def test_frame_ripple_is_one_frame_in_four(clip):
    before, after = (mdct(torch.from_numpy(x), 64).numpy() for x in (clip, spoil("frame ripple", clip)))
    levels = [np.linalg.norm(frames, axis=(0, 2))[20:-20] for frames in (before, after)]
    gain_db = 20 * np.log10(levels[1] / levels[0])
    steps = np.sort([gain_db[phase::4].mean() for phase in range(4)])
    assert abs(steps[3] - 2) < 0.01
    assert np.abs(steps[:3]).max() < 0.01


@pytest.mark.parametrize("rung", ["band noise", "vocoded"])
def test_noises_keep_band_levels(clip, rung):
    assert np.abs(band_levels_db(spoil(rung, clip)) - band_levels_db(clip)).max() < 1.5


def test_vocoded_follows_time_and_band_noise_does_not(clip):
    half = clip.copy()
    half[:, half.shape[1] // 2 :] = 0
    silent = slice(int(half.shape[1] * 0.6), None)
    assert rms_db(spoil("vocoded", half)[:, silent]) < -70
    assert rms_db(spoil("band noise", half)[:, silent]) > rms_db(half) - 6


def test_shuffled_keeps_the_segments(clip):
    out = spoil("shuffled", clip)
    length = clip.shape[1] // 6
    fade = round(0.01 * RATE)
    found = set()
    for target in range(6):
        inside = out[:, target * length + fade : (target + 1) * length]
        errors = [np.abs(inside - clip[:, s * length + fade : (s + 1) * length]).max() for s in range(6)]
        assert min(errors) < 1e-6
        found.add(int(np.argmin(errors)))
    assert found == set(range(6))
    assert np.abs(out - clip).max() > 0.1


def test_overdriven_is_loud_clipped_and_offset(clip):
    out = spoil("overdriven", clip)
    assert np.abs(out).max() == 1
    quiet = np.abs(clip) < 0.05
    assert np.allclose(out[quiet], clip[quiet] * 10 ** (12 / 20) + 0.02, atol=1e-6)


def test_white_noise_is_as_loud_and_silence_is_silent(clip):
    assert abs(rms_db(spoil("white noise", clip)) - rms_db(clip)) < 0.2
    assert not spoil("silence", clip).any()
