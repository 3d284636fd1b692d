from __future__ import annotations

import io
import tracemalloc

import numpy as np
import pytest
import soundfile
from scipy.signal import fftconvolve

from mp3net.audio.containers import Part, View, parts
from mp3net.audio.damage import Damage, Gap
from mp3net.audio.decoding import Decoder, UnusableAudioError, probe
from mp3net.audio.encoding import write
from mp3net.audio.reading import Stream, read
from tests.audio.faults import encoded, halved
from tests.recordings import music


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (Damage(60, 60), ""),
        (Damage(59.5, 60), ""),
        (Damage(59.3, 60), "0.7 s of 60.0 s are missing: the file ends 0.7 s early (an unfinished download, copy or recording?)"),
        (Damage(3597, 3598.9), ""),
        (Damage(3597, 3599.1), "2.1 s of 60 min are missing: the file ends 2.1 s early (an unfinished download, copy or "
         "recording?)"),
        (Damage(1, 1.09), ""),
        (Damage(58, 60, [Gap(14, 2)]), "2.0 s of 60.0 s are missing: damaged at 0:14"),
        (Damage(58, None, [Gap(3700, 2)]), "2.0 s of 60.0 s are missing: damaged at 1:01:40"),
        (Damage(28, 60, [Gap(14, 2)]), "32.0 s of 60.0 s are missing: damaged at 0:14; the file ends 30.0 s early (an "
         "unfinished download, copy or recording?)"),
        (Damage(50, 60, [Gap(at, 2) for at in (5, 15, 25, 35, 45)]), "10.0 s of 60.0 s are missing: damaged at 0:05, 0:15, "
         "0:25 and 2 more places"),
        (Damage(52, 60, [Gap(at, 2) for at in (5, 15, 25, 35)]), "8.0 s of 60.0 s are missing: damaged at 0:05, 0:15, 0:25 "
         "and 1 more place"),
        (Damage(50, elsewhere_s=10), "10.0 s of 60.0 s are missing: damaged at places that the file does not tell"),
        (Damage(29.9, ended=False), "the file breaks off at 0:29 (an unfinished download or copy?): what followed is not there"),
    ],
)  # fmt: skip
def test_what_is_said(damage, said):
    assert str(damage) == said


def test_places_close_together_are_one_and_links_of_a_chain_add_up():
    damage = Damage(60, 62)
    for at_s in (10.0, 10.2, 10.9, 40.0):
        damage.skip(at_s, 0.5)
    assert damage.gaps == [Gap(10.0, 1.5), Gap(40.0, 0.5)]
    both = damage.joined(Damage(30, None, [Gap(5, 1)], 0.25, False))
    assert both == Damage(90, 92, [Gap(10.0, 1.5), Gap(40.0, 0.5), Gap(65, 1)], 0.25, False)
    assert Damage(60).joined(Damage(30)).promised_s is None


def test_a_view_is_a_file_of_its_own():
    view = View(io.BytesIO(bytes(range(100))), Part(10, 60, ((8, b"abcd"), (58, b"xyz"))))
    assert view.read(3) == b"cd" + bytes([12])
    assert view.seek(-3, 2) == 47
    assert view.read() == bytes([57]) + b"xy"
    assert view.read(5) == b""
    assert view.seek(-1, 1) == view.tell() == 49


@pytest.mark.parametrize("name", ["WAV", "AIFF", "CAF"])
def test_chunks_after_the_samples_are_not_taken_for_sound(tmp_path, name):
    """More than a tag: a picture of the cover, in a chunk of its own."""
    order = "little" if name == "WAV" else "big"
    width = 8 if name == "CAF" else 4
    chunk = b"PICT" + (200_000).to_bytes(width, order) + np.random.default_rng(0).bytes(200_000)
    plain, data = encoded(name), encoded(name) + chunk
    (tmp_path / "plain").write_bytes(plain)
    (tmp_path / "x").write_bytes(data)
    assert np.array_equal(read(tmp_path / "x")[0], read(tmp_path / "plain")[0])
    assert [(part.patches, part.promised_share) for part in parts(io.BytesIO(data))] == [((), 1.0)]


def test_tags_around_the_frames_of_an_mp3_are_no_damage(tmp_path):
    ape = b"x" * 5000 + b"APETAGEX" + (2000).to_bytes(4, "little") + (5032).to_bytes(4, "little") + bytes(16)
    id3 = b"ID3\x04\0\0" + bytes([0, 2, 0, 0]) + bytes(2 << 14)
    (tmp_path / "x").write_bytes(id3 + encoded("MP3 without a count") + ape + b"TAG" + b" " * 125)
    decoder = Decoder(tmp_path / "x")
    seconds = sum(len(block) / rate for rate, block in decoder.blocks())
    assert seconds == pytest.approx(8.0, abs=0.1)
    assert decoder.damage.missing_s < 0.02


def test_five_channels_are_mixed_by_the_standard_or_refused(tmp_path):
    """ITU-R BS.775: centre and surrounds at -3 dB, nothing of the low-frequency effects."""
    rng = np.random.default_rng(0)
    six = rng.uniform(-0.2, 0.2, (44100, 6)).astype(np.float32)
    path = tmp_path / "x.wav"
    soundfile.write(path, six, 44100, subtype="FLOAT")
    with pytest.raises(UnusableAudioError, match=r"6 channels: mix it down .* or give --downmix"):
        probe(path)
    assert probe(path, downmix=True).channels == 6
    left, right, centre, _, left_back, right_back = six.T
    wanted = np.stack([left + (centre + left_back) / np.sqrt(2), right + (centre + right_back) / np.sqrt(2)], axis=1)
    found = np.concatenate(list(Stream(path, 44100, 2, downmix=True)))
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    mono = np.concatenate(list(Stream(path, 44100, 1, downmix=True)))
    np.testing.assert_allclose(mono[:, 0], wanted.mean(1), atol=1e-6)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW"])
def test_samples_are_those_that_libsndfile_reads(tmp_path, subtype):
    path = tmp_path / "x.wav"
    soundfile.write(path, music(1.0, 44100, 2), 44100, subtype=subtype)
    wanted, _ = soundfile.read(path, dtype="float32", always_2d=True)
    np.testing.assert_array_equal(read(path)[0], wanted.T)
    assert probe(path).lossless == (subtype != "ULAW")


@pytest.mark.parametrize("audio_format", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize(("seconds", "rate"), [(100, 44100), pytest.param(3600, 11008, marks=pytest.mark.slow)])
def test_long_songs_are_written_whole(tmp_path, audio_format, seconds, rate):
    """libsndfile's encoder of OGG crashes when it gets a long song at once."""
    sound = np.tile(music(20, rate, 2).T, seconds // 20)
    path = tmp_path / f"x.{audio_format}"
    tracemalloc.start()
    written_hz = write(path, sound, rate, audio_format)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 16 << 20, "an hour takes no more memory than a minute"
    back, _ = read(path, rate)
    assert back.shape[1] == pytest.approx(sound.shape[1], abs=0.1 * rate)
    if audio_format in ("wav", "flac"):
        np.testing.assert_allclose(back, sound, atol=2**-15)
        return
    assert written_hz in (rate, 12000)
    # Coders shift by less than 60 ms: the best of the lags, at the beginning, in the middle and at the end.
    for start in (0, sound.shape[1] // 2, sound.shape[1] - 3 * rate):
        part = sound[0, start + rate : start + 2 * rate]
        around = back[0, start + rate - rate // 16 : start + 2 * rate + rate // 16]
        lag = int(fftconvolve(around, part[::-1], "valid").argmax())
        assert np.corrcoef(part, around[lag : lag + rate])[0, 1] > 0.98


@pytest.mark.parametrize("broken", [0, 1, 2])
def test_a_link_that_cannot_be_opened_costs_only_itself(tmp_path, broken):
    links = [encoded("Ogg Vorbis", seed=seed) for seed in range(3)]
    links[broken] = links[broken][:28] + b"no codec" + links[broken][36:]
    (tmp_path / "x").write_bytes(b"".join(links))
    decoder = Decoder(tmp_path / "x")
    seconds = sum(len(block) / rate for rate, block in decoder.blocks())
    assert seconds == pytest.approx(16, abs=0.3)
    assert decoder.damage.missing_s == pytest.approx(8, rel=0.1)
    assert str(decoder.damage).endswith("s are missing: damaged at places that the file does not tell")
    assert probe(tmp_path / "x").duration_s == pytest.approx(24, rel=0.1)


def test_half_a_download_is_read_as_far_as_it_goes(tmp_path):
    (tmp_path / "x").write_bytes(halved(encoded("FLAC")))
    whole, rate = read(tmp_path / "x")
    assert whole.shape[1] == pytest.approx(4 * rate, rel=0.1)
