from __future__ import annotations

import numpy as np
import pytest
import soundfile

from mp3net.audio import decoding
from mp3net.audio.decoding import probe
from mp3net.audio.encoding import FORMATS, write
from mp3net.audio.reading import Stream, read
from mp3net.errors import Mp3netError
from tests.recordings import music, write_folder


def test_every_format_decodes_to_the_same_music(tmp_path):
    write_folder(tmp_path)
    seeds = {"a.wav": 1, "sub/b.flac": 2, "Öde an die Freude.ogg": 3, "d.opus": 4, "e.mp3": 5, "no_ending": 6}
    for name, seed in seeds.items():
        decoded, rate = read(tmp_path / name, 22016, 1)
        assert (rate, decoded.shape[0]) == (22016, 1), name
        info = probe(tmp_path / name)
        original = music(3.0, info.sample_rate_hz, info.channels, seed).mean(1)
        expected = original[:, None]
        soundfile.write(tmp_path / "wanted.wav", expected, info.sample_rate_hz, subtype="FLOAT")
        wanted, _ = read(tmp_path / "wanted.wav", 22016, 1)
        # Lossy codecs shift by their delay: compare at the best of a range of lags.
        lossless = name in ("a.wav", "sub/b.flac")
        lags = [0] if lossless else range(1800)
        length = 40000
        best = max(np.corrcoef(decoded[0, lag : lag + length], wanted[0, :length])[0, 1] for lag in lags)
        assert best > (0.999999 if lossless else 0.98), (name, best)
        assert decoded.shape[1] == pytest.approx(3 * 22016, rel=0.05), name


def test_resampling_keeps_a_tone_below_and_removes_one_above_the_cutoff(tmp_path):
    time = np.arange(44100 * 2) / 44100
    for frequency, kept in ((3000, True), (9000, True), (13000, False)):
        tone = 0.5 * np.sin(2 * np.pi * frequency * time)
        soundfile.write(tmp_path / "tone.wav", tone, 44100, subtype="FLOAT")
        out, _ = read(tmp_path / "tone.wav", 22016)
        level = np.sqrt(np.mean(out[0, 4000:-4000] ** 2)) * np.sqrt(2)
        assert level == pytest.approx(0.5, rel=1e-3) if kept else level < 1e-4, frequency


def test_streaming_equals_reading_at_once(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "x.flac", music(3.0, 44100, 2), 44100)
    whole, _ = read(tmp_path / "x.flac", 22016, 2)
    monkeypatch.setattr(decoding, "BLOCK_SAMPLES", 1000)
    pieces = list(Stream(tmp_path / "x.flac", 22016, 2))
    assert len(pieces) > 20
    np.testing.assert_allclose(np.concatenate(pieces).T, whole, atol=1e-6)


def test_stereo_and_mono_conversion(tmp_path):
    left_right = np.stack([np.full(5000, 0.5), np.full(5000, -0.25)], axis=1)
    soundfile.write(tmp_path / "s.wav", left_right, 22016, subtype="FLOAT")
    np.testing.assert_allclose(read(tmp_path / "s.wav", channels=1)[0], 0.125)
    np.testing.assert_allclose(read(tmp_path / "s.wav")[0], left_right.T)
    soundfile.write(tmp_path / "m.wav", left_right[:, 0], 22016, subtype="FLOAT")
    np.testing.assert_allclose(read(tmp_path / "m.wav", channels=2)[0], 0.5)


@pytest.mark.parametrize("audio_format", FORMATS)
def test_writing_every_format(tmp_path, audio_format):
    samples = music(1.0, 22016, 2).T
    path = tmp_path / "deep" / f"x.{audio_format}"
    rate = write(path, samples, 22016, audio_format)
    assert rate == (22050 if audio_format == "mp3" else 22016)
    back, back_rate = read(path)
    assert back_rate == rate
    assert back.shape[0] == 2
    assert back.shape[1] == pytest.approx(rate, rel=0.1)
    assert np.abs(back).max() == pytest.approx(0.5, abs=0.05)
    if audio_format in ("wav", "flac"):
        np.testing.assert_allclose(back, samples, atol=2**-15)
    assert list(path.parent.iterdir()) == [path]


def test_writing_refuses_what_would_be_clipped(tmp_path):
    for samples in (np.full((1, 10), 1.5), np.full((1, 10), np.nan)):
        with pytest.raises(ValueError, match="beyond"):
            write(tmp_path / "x.wav", samples, 22016, "wav")
    with pytest.raises(Mp3netError, match="the formats are: wav, flac, ogg, mp3"):
        write(tmp_path / "x.aac", np.zeros((1, 10)), 22016, "aac")
    (tmp_path / "file").write_text("")
    with pytest.raises(Mp3netError, match="cannot be written"):
        write(tmp_path / "file" / "x.wav", np.zeros((1, 10)), 22016, "wav")


@pytest.mark.parametrize("rates", [(44100, 22016), (8000, 22016), (44100, 11008), (48000, 44100)])
@pytest.mark.parametrize("count", [1, 700, 300_001])
def test_resampling_a_constant_makes_no_clicks_at_the_ends(tmp_path, rates, count):
    """Offsets are subtracted after resampling: that must leave nothing. Lengths are exact."""
    soundfile.write(tmp_path / "constant.wav", np.full(count, 0.25), rates[0], subtype="FLOAT")
    out, _ = read(tmp_path / "constant.wav", rates[1])
    assert out.shape == (1, int(count * rates[1] / rates[0] + 0.5))
    np.testing.assert_allclose(out, 0.25, atol=1e-5)


def test_resampling_keeps_time(tmp_path):
    """A click stays where it was, whatever comes before the first sample."""
    click = np.zeros(50_000)
    click[25_000] = 1
    soundfile.write(tmp_path / "click.wav", click, 44100, subtype="FLOAT")
    out, rate = read(tmp_path / "click.wav", 22016)
    assert np.abs(out[0]).argmax() == pytest.approx(25_000 * rate / 44100, abs=0.51)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF - 8, 0xFFFFFFFF], ids=hex)
def test_a_wav_file_from_a_pipe_has_no_length_and_is_whole(tmp_path, size):
    path = tmp_path / "pipe.wav"
    soundfile.write(path, music(1.0, 44100, 1), 44100)
    data = bytearray(path.read_bytes())
    data[4:8] = size.to_bytes(4, "little")
    path.write_bytes(data)
    assert read(path)[0].shape[1] == 44100
