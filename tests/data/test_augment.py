"""Changes of crops: what they do, that they are drawn fairly, and that nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mp3net.config import PRESETS, AugmentConfig, DataConfig
from mp3net.data.augment import MARGIN_SAMPLES, Change, draw
from mp3net.data.dataset import CropDataset
from mp3net.data.preparation import prepare
from mp3net.data.recordings import below
from tests.recordings import write_folder

OFF = AugmentConfig(random_sign=False, swap_channels=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("augment")
    write_folder(root / "in", 4.0)
    (root / "in" / "sub" / "b.flac").unlink()  # mono: its sides are the same
    prepare(below(root / "in"), root / "data", DataConfig(sample_rate_hz=8000, channels=2, heldout_share=0), 2)
    return root / "data"


def test_the_papers_presets_change_nothing(folder):
    for name in ("piano-95s", "piano-5s"):
        assert PRESETS[name].augment == OFF
    assert PRESETS["nano-1.5s"].augment == AugmentConfig()
    plain, off = CropDataset(folder, 3000), CropDataset(folder, 3000, augment=OFF)
    assert torch.equal(plain.batch(1, 0, 16), off.batch(1, 0, 16))


def test_sign_and_swap_are_fair_independent_and_exact(folder):
    plain = CropDataset(folder, 3000).batch(1, 0, 400)
    changed = CropDataset(folder, 3000, augment=AugmentConfig()).batch(1, 0, 400)
    kinds = np.zeros((2, 2), int)
    for before, after in zip(plain, changed, strict=True):
        same = [
            (sign, swap)
            for sign in (0, 1)
            for swap in (0, 1)
            if torch.equal((-1) ** sign * (before.flip(0) if swap else before), after)
        ]
        assert len(same) == 1
        kinds[same[0]] += 1
    assert ((kinds - 100) ** 2 / 100).sum() < 16.3, kinds  # chi-squared with 3 degrees of freedom: p < 0.001


def test_draws_belong_to_the_crop_and_are_not_those_of_its_place():
    config = AugmentConfig(gain_db=12, resample_semitones=1)
    drawn = [draw(config, 2, 7, index) for index in range(2000)]
    assert drawn[5] == draw(config, 2, 7, 5) != draw(config, 2, 8, 5)
    gains_db = np.array([20 * np.log10(change.gain) for change in drawn])
    semitones = np.array([12 * np.log2(change.speed) for change in drawn])
    for values, low, high in ((gains_db, -12, 0), (semitones, -1, 1)):
        assert low <= values.min() < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < values.max() <= high
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.03 * (high - low))
    table = np.stack([gains_db, semitones, [change.sign for change in drawn], [change.swap for change in drawn]])
    assert np.abs(np.corrcoef(table) - np.eye(4)).max() < 0.08
    neighbours = np.corrcoef(semitones[:-1], semitones[1:])[0, 1]
    assert abs(neighbours) < 0.08, "consecutive crops share no random numbers"
    places = [np.random.Generator(np.random.Philox(key=7, counter=index)).random() for index in range(2000)]
    assert abs(np.corrcoef(places, gains_db)[0, 1]) < 0.08


def test_switches_do_not_interfere():
    everything = AugmentConfig(gain_db=6, resample_semitones=1)
    for index in range(50):
        whole, sign_only = draw(everything, 2, 0, index), draw(AugmentConfig(swap_channels=False), 2, 0, index)
        assert whole.sign == sign_only.sign
        assert (sign_only.swap, sign_only.gain, sign_only.speed) == (False, 1.0, 1.0)
        assert not draw(everything, 1, 0, index).swap


@pytest.mark.parametrize("speed", [0.9, 0.97, 1.0, 1.06, 1.122])
def test_faster_means_higher_by_as_much_and_the_edges_are_sound(speed):
    rate, count = 8000, 6000
    change = Change(1.0, False, 1.0, speed)
    time = np.arange(change.source_samples(count)) / rate
    sine = np.sin(2 * np.pi * 500 * time)[None].astype(np.float32)
    out = change.apply(sine, count)
    assert out.shape == (1, count)
    spectrum = np.abs(np.fft.rfft(out[0] * np.hanning(count), 1 << 18))
    assert spectrum.argmax() * rate / (1 << 18) == pytest.approx(500 * speed, rel=2e-4)
    level = np.sqrt((out[0].reshape(-1, 200) ** 2).mean(1))
    np.testing.assert_allclose(level, np.sqrt(0.5), rtol=0.12)
    assert np.abs(out[0, :16]).max() > 0.1
    assert change.source_samples(count) >= count * speed + (2 * MARGIN_SAMPLES if speed != 1 else 0)


def test_resampled_crops_stay_in_their_recording_and_lie_where_the_plain_one_does(folder):
    config = AugmentConfig(random_sign=False, swap_channels=False, resample_semitones=1e-9)
    plain, changed = CropDataset(folder, 8000), CropDataset(folder, 8000, augment=config)
    close = 0
    for index in range(60):
        before, after = plain.crop(0, index), changed.crop(0, index)
        assert np.isfinite(after).all()
        close += np.abs(before - after)[:, 50:-50].max() < 0.01
    assert close >= 40, "but for crops at the ends, which move by up to a margin"
    longest = int(max(plain.lengths))
    whole = CropDataset(folder, longest, augment=AugmentConfig(resample_semitones=2))
    assert whole.batch(0, 0, 8).shape == (8, 2, longest), "too short to be played faster: as it is"


def test_a_gain_only_lowers():
    change = Change(-1.0, True, 0.5, 1.0)
    sound = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    np.testing.assert_array_equal(change.apply(sound, 2), [[-1.5, -2.0], [-0.5, -1.0]])
