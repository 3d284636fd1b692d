"""The numbers of an inspection against the whole recording at once, and against slow formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import soundfile
import torch

from mp3net.audio.reading import read
from mp3net.config import AudioConfig
from mp3net.dsp.mdct import imdct, mdct
from mp3net.dsp.psychoacoustics import Psychoacoustics
from mp3net.dsp.streaming import FRAMES_TOGETHER
from mp3net.errors import Mp3netError
from mp3net.inspection.measuring import measure
from mp3net.inspection.sums import COLUMNS, Columns
from tests import reference
from tests.recordings import music

RATE, BINS = 8000, 64
AUDIO = AudioConfig(sample_rate_hz=RATE, channels=2, num_bins=BINS)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Longer than the frames that are transformed together, quiet, with an offset and one loud second."""
    sound = 0.05 * music(9.0, RATE) + 0.01
    sound[5 * RATE : 6 * RATE] *= 4
    path = tmp_path_factory.mktemp("recordings") / "quiet.wav"
    soundfile.write(path, sound, RATE, subtype="FLOAT")
    return path


@pytest.fixture(scope="module")
def measured(file):
    return measure(file, AUDIO, passage_s=1.5)


@pytest.fixture(scope="module")
def levelled(file):
    """(C, S) as preparation would make it, in float64."""
    sound = read(file)[0].astype(np.float64)
    sound -= sound.mean(1, keepdims=True)
    return torch.from_numpy(0.999 / np.abs(sound).max() * sound)


def test_numbers_are_those_of_the_whole(measured, levelled):
    coefficients = mdct(levelled, BINS)
    assert coefficients.shape[1] > FRAMES_TOGETHER
    flat = coefficients.flatten(0, 1).numpy()
    threshold = Psychoacoustics(RATE, BINS, dtype=torch.float64).masking_threshold(coefficients).flatten(0, 1).numpy()
    np.testing.assert_allclose(threshold[500], reference.masking_threshold(flat[500], RATE), rtol=1e-9)
    sums = measured.sums
    np.testing.assert_allclose(sums.power, (flat**2).mean(0), rtol=1e-4)
    np.testing.assert_allclose(sums.threshold_power, (threshold**2).mean(0), rtol=1e-3)
    masked = (np.abs(flat) < threshold).mean(0)
    np.testing.assert_allclose(sums.masked_share, masked, atol=2e-3)
    assert measured.masked_share == pytest.approx(masked.mean(), abs=5e-4)
    assert 0.05 < masked.mean() < 0.95
    tonality = np.array([reference.tonality(frame) for frame in flat]).reshape(2, -1).mean(0)
    np.testing.assert_allclose(sums.tonality, tonality, atol=1e-4)
    expected_db = 10 * math.log10((threshold**2).sum() / 36 / (flat**2).sum())
    assert measured.noise_db == pytest.approx(expected_db, abs=0.01)


def test_octaves_divide_the_bins(measured):
    rows = measured.masked_share_by_octave()
    assert [(low, high) for low, high, _ in rows] == [
        (0, 125), (125, 250), (250, 500), (500, 1000), (1000, 2000), (2000, 4000),
    ]  # fmt: skip
    whole = sum((high - low) * share for low, high, share in rows) / 4000
    assert whole == pytest.approx(measured.masked_share, rel=1e-9)


def test_the_passage_is_the_loudest_and_gives_its_samples(measured, levelled):
    sound = imdct(measured.passage).double()
    begin = round(measured.passage_begin_s * RATE)
    assert 4.4 <= measured.passage_begin_s <= 5.1
    assert 1.5 * RATE <= sound.shape[1] <= 1.5 * RATE + 2 * BINS
    torch.testing.assert_close(sound, levelled[:, begin : begin + sound.shape[1]], rtol=0, atol=2e-6)


@pytest.mark.parametrize(("at_s", "passage_s"), [(0.0, 0.5), (2.26, 1.0), (8.4, 60.0), (0.0, 60.0)])
def test_the_passage_may_be_chosen(file, levelled, at_s, passage_s):
    measured = measure(file, AUDIO, at_s, passage_s)
    sound, begin = imdct(measured.passage).double(), round(measured.passage_begin_s * RATE)
    assert at_s - BINS / RATE <= measured.passage_begin_s <= at_s
    end = begin + sound.shape[1]
    assert end >= min(9.0, at_s + passage_s) * RATE
    torch.testing.assert_close(sound[:, : 9 * RATE - begin], levelled[:, begin:end], rtol=0, atol=2e-6)


def test_one_channel_where_one_is_wanted_or_there(file, tmp_path):
    mono = measure(file, AUDIO.model_copy(update={"channels": 1}), passage_s=1.0)
    assert mono.passage.shape[0] == 1
    sound = read(file)[0].mean(0)
    soundfile.write(tmp_path / "mono.wav", sound, RATE, subtype="FLOAT")
    again = measure(tmp_path / "mono.wav", AUDIO, passage_s=1.0)
    assert again.audio.channels == 1
    np.testing.assert_allclose(again.sums.power, mono.sums.power, rtol=1e-4)


def test_progress_rises_to_the_end(file):
    told: list[tuple[float, float]] = []
    measure(file, AUDIO, passage_s=1.0, progress=lambda done_s, total_s: told.append((done_s, total_s)))
    done = [done_s for done_s, _ in told]
    assert done == sorted(done)
    assert told[-1] == pytest.approx((18.0, 18.0), abs=0.02)
    assert all(done_s <= total_s for done_s, total_s in told)


def test_silence_has_no_noise_level(tmp_path):
    soundfile.write(tmp_path / "silence.wav", np.zeros((RATE, 1)), RATE)
    measured = measure(tmp_path / "silence.wav", AUDIO)
    assert measured.noise_db == math.inf
    assert measured.masked_share == 1
    assert measured.sums.tonality.max() == 0


def test_says_what_is_wrong_with_a_file(tmp_path, file):
    (tmp_path / "text.wav").write_text("no music")
    with pytest.raises(Mp3netError, match=r"text\.wav: not audio"):
        measure(tmp_path / "text.wav", AUDIO)
    soundfile.write(tmp_path / "short.wav", np.ones((RATE // 4, 1)), RATE)
    with pytest.raises(Mp3netError, match=r"short\.wav: holds 0\.25 s of audio; at least 0\.5 s"):
        measure(tmp_path / "short.wav", AUDIO)
    with pytest.raises(Mp3netError, match=r"quiet\.wav: is 9\.0 s long; --at 8\.6 leaves less than 0\.5 s"):
        measure(file, AUDIO, at_s=8.6)


@pytest.mark.parametrize("count", [1, 7, 2 * COLUMNS, 2 * COLUMNS + 1, 7 * COLUMNS + 3])
@pytest.mark.parametrize("piece", [1000, 129])
def test_columns_are_means_of_equally_many_rows(count, piece):
    rows = np.random.default_rng(count).random((count, 3))
    columns = Columns(3)
    for start in range(0, count, piece):
        columns.add(rows[start : start + piece])
    means, each = columns.means(), columns.frames_each
    expected = np.stack([rows[start : start + each].mean(0) for start in range(0, count, each)])
    np.testing.assert_allclose(means, expected, rtol=1e-12)
    assert min(count, COLUMNS) <= len(means) <= 2 * COLUMNS
