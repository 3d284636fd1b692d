"""Levels that are known only after the last sample, against numpy and pyloudnorm over the whole recording."""

from __future__ import annotations

import numpy as np
import pyloudnorm
import pytest
import soundfile

from mp3net.config import DataConfig
from mp3net.data.index import read_index
from mp3net.data.level import PEAK, TRIM_SAMPLES, Levels
from mp3net.data.pieces import Piece
from mp3net.data.preparation import prepare
from mp3net.data.recordings import below
from mp3net.errors import Mp3netError
from tests.recordings import music

RATE = 8000


def measure(audio: np.ndarray, blocks: list[int], **settings):
    config = DataConfig(sample_rate_hz=RATE, channels=audio.shape[1], **settings)
    levels = Levels(config)
    for begin, end in zip([0, *blocks], [*blocks, len(audio)], strict=True):
        levels.add(audio[begin:end])
    return levels.finish(config)


@pytest.mark.parametrize("blocks", [[], [1, 5, 1029, 30_000], [1024, 2048]])
def test_statistics_do_not_depend_on_the_blocks(blocks):
    audio = music(6.0, RATE) + np.array([0.1, -0.02], np.float32)
    found = measure(audio, blocks, trim_silence_db=None)
    np.testing.assert_allclose(found.offset, audio.mean(0, dtype=np.float64), rtol=1e-6)
    assert found.peak == pytest.approx(np.abs(audio - audio.mean(0, dtype=np.float64)).max(), rel=1e-6)
    assert (found.begin, found.end) == (0, len(audio))
    assert found.gain == pytest.approx(PEAK / found.peak)
    kept = measure(audio, blocks, remove_dc=False)
    assert not kept.offset.any()
    assert kept.peak == pytest.approx(np.abs(audio).max())


def test_silent_ends_are_found_relative_to_the_peak():
    audio = np.zeros((40 * TRIM_SAMPLES, 1), np.float32)
    audio[10 * TRIM_SAMPLES + 700] = 0.01
    audio[25 * TRIM_SAMPLES + 3] = -0.5
    found = measure(audio, [9999], trim_silence_db=-40)
    assert (found.begin, found.end) == (10 * TRIM_SAMPLES, 26 * TRIM_SAMPLES)
    found = measure(audio, [9999], trim_silence_db=-30)
    assert (found.begin, found.end) == (25 * TRIM_SAMPLES, 26 * TRIM_SAMPLES)
    audio[-1] = 0.3
    assert measure(audio, [9999], trim_silence_db=-40).end == len(audio)
    assert measure(audio[:-5], [9999], trim_silence_db=None).end == len(audio) - 5


@pytest.mark.parametrize("rate", [8000, 22016, 44100])
@pytest.mark.parametrize("channels", [1, 2])
def test_loudness_is_that_of_pyloudnorm(rate, channels):
    random = np.random.default_rng(rate)
    audio = music(7.3, rate, channels, 5) * np.repeat(random.uniform(0, 1, 8), rate)[: round(7.3 * rate), None]
    audio[2 * rate : 4 * rate] = 0  # for the gates
    config = DataConfig(sample_rate_hz=rate, channels=channels, level="loudness", remove_dc=False)
    levels = Levels(config)
    for begin in range(0, len(audio), 10_007):
        levels.add(audio[begin : begin + 10_007].astype(np.float32))
    found = levels.finish(config)
    expected = pyloudnorm.Meter(rate).integrated_loudness(audio)
    assert found.loudness_lufs == pytest.approx(expected, abs=0.02)  # its blocks begin at rounded places
    assert found.gain == pytest.approx(min(10 ** ((-20 - expected) / 20), PEAK / found.peak), rel=0.003)


def test_a_sine_has_its_textbook_loudness():
    """BS.1770: a full-scale 997 Hz sine in one channel reads -3.01 LUFS."""
    sine = np.sin(2 * np.pi * 997 * np.arange(10 * 48000) / 48000)[:, None].astype(np.float32)
    config = DataConfig(sample_rate_hz=48000, channels=1, level="loudness")
    levels = Levels(config)
    levels.add(sine)
    assert levels.finish(config).loudness_lufs == pytest.approx(-3.01, abs=0.05)


def test_silence_has_no_loudness_and_no_gain():
    found = measure(np.zeros((30_000, 2), np.float32), [], level="loudness")
    assert (found.loudness_lufs, found.gain, found.peak) == (None, 1.0, 0.0)


@pytest.mark.parametrize(("level", "peak"), [("peak", PEAK), ("original", None), ("loudness", None)])
def test_prepared_pieces_have_the_level_that_was_asked_for(tmp_path, level, peak):
    (tmp_path / "in").mkdir()
    audio = np.concatenate([np.zeros((RATE, 2)), 0.2 * music(5.0, RATE), np.zeros((2 * RATE, 2))]) + 0.01
    soundfile.write(tmp_path / "in" / "a.wav", audio, RATE, subtype="FLOAT")
    config = DataConfig(sample_rate_hz=RATE, heldout_share=0, level=level, loudness_lufs=-30)
    report = prepare(below(tmp_path / "in"), tmp_path / "out", config, 1)
    piece = Piece(tmp_path / "out" / "train" / f"{read_index(tmp_path / 'out').entries[0]['piece']}.arrow")
    sound = piece.read(0, piece.num_samples)
    assert abs(sound.mean()) < 2e-3 * np.abs(sound).max()
    assert 5.0 - 0.5 < piece.num_samples / RATE < 5.3
    assert report.files[0].trimmed_s == pytest.approx(8 - piece.num_samples / RATE)
    assert np.abs(sound).max() == pytest.approx(report.files[0].peak, rel=1e-3)
    if level == "peak":
        assert np.abs(sound).max() == pytest.approx(peak, rel=1e-3)
    elif level == "original":
        assert np.abs(sound).max() == pytest.approx(np.abs(audio - audio.mean(0)).max(), rel=1e-3)
    else:
        assert pyloudnorm.Meter(RATE).integrated_loudness(sound.T) == pytest.approx(-30, abs=0.5)  # of the trimmed piece


def test_a_trim_threshold_that_is_none_is_refused():
    from mp3net.apps.prepare import trim_threshold

    assert (trim_threshold("-45.5"), trim_threshold("off")) == (-45.5, None)
    with pytest.raises(Mp3netError, match="give dB relative to the peak, such as -60, or off"):
        trim_threshold("a lot")
