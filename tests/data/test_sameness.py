"""What an encoder, a gain, a cut or a resampling makes is the same recording; other mixes, masters and touches are not."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
import soundfile
import soxr
from scipy.signal import butter, fftconvolve, sosfilt

from mp3net.config import DataConfig
from mp3net.data.preparation import prepare
from mp3net.data.recordings import below
from mp3net.data.sameness import Comparison, compare_pieces
from tests.recordings import piece, write_m4a

RATE = 22050
SOUND = piece(24.0, RATE, 1, 2)
OTHER = piece(24.0, RATE, 2, 2)


class InMemory:
    def __init__(self, sound: np.ndarray) -> None:
        self.sound, self.num_samples = sound.astype(np.float32), len(sound)

    def read(self, start: int, count: int) -> np.ndarray:
        return self.sound[start : start + count].T


def compare(changed: np.ndarray, offset_s: float = 0.0) -> Comparison:
    found = compare_pieces(InMemory(SOUND), InMemory(changed), offset_s, RATE)
    assert found is not None
    return found


def coded(sound: np.ndarray, tmp_path, **options) -> np.ndarray:
    soundfile.write(tmp_path / "x", sound, RATE, **options)
    return soundfile.read(tmp_path / "x", always_2d=True)[0]


def opus(sound: np.ndarray, bit_rate: int) -> np.ndarray:
    out = io.BytesIO()
    at_48 = soxr.resample(sound, RATE, 48000).astype(np.float32)
    with av.open(out, "w", format="ogg") as file:
        stream = file.add_stream("libopus", rate=48000, layout="stereo")
        stream.bit_rate = bit_rate
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(at_48.reshape(1, -1)), "flt", "stereo")
        frame.sample_rate = 48000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            file.mux(packet)
    back, _ = soundfile.read(io.BytesIO(out.getvalue()), always_2d=True)
    return soxr.resample(back, 48000, RATE)


SAME = {
    "mp3": lambda sound, folder: coded(sound, folder, format="MP3"),
    "vorbis": lambda sound, folder: coded(sound, folder, format="OGG", subtype="VORBIS"),
    "opus at 32 kbit/s": lambda sound, folder: opus(sound, 32000),
    "lower, inverted": lambda sound, folder: -0.2 * sound,
    "resampled": lambda sound, folder: soxr.resample(soxr.resample(sound, RATE, 16000), 16000, RATE),
    "mono": lambda sound, folder: sound.mean(1, keepdims=True),
    "eight bits": lambda sound, folder: np.round(sound * 127) / 127,
}
DIFFERENT = {
    "a second voice": lambda sound: sound + OTHER,
    "a second voice, softer": lambda sound: sound + 0.4 * OTHER,
    "a second voice in a fifth of it": lambda sound: sound + OTHER * (np.arange(len(sound)) // (5 * RATE) == 2)[:, None],
    "reverberation": lambda sound: sound + 2 * fftconvolve(sound, reverberation(), axes=0)[: len(sound)],
    "a high-pass": lambda sound: sosfilt(butter(4, 200, "high", fs=RATE, output="sos"), sound, axis=0),
    "less bass": lambda sound: sound - 0.35 * sosfilt(butter(1, 250, "low", fs=RATE, output="sos"), sound, axis=0),
    "a crescendo": lambda sound: sound * np.linspace(0.6, 1, len(sound))[:, None],
}


def reverberation() -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 1, (RATE, 1)) * np.exp(-7 * np.arange(RATE) / RATE)[:, None]
    return noise / np.sqrt((noise**2).sum())


@pytest.mark.parametrize("change", SAME)
def test_what_encoders_and_converters_do_leaves_a_recording_the_same(tmp_path, change):
    assert compare(SAME[change](SOUND, tmp_path)).is_same


@pytest.mark.parametrize("change", DIFFERENT)
def test_what_musicians_and_engineers_do_makes_another_recording(change):
    assert not compare(DIFFERENT[change](SOUND)).is_same


def test_the_numbers_are_those_of_the_change():
    assert compare(SOUND) == Comparison(pytest.approx(1, abs=1e-5), pytest.approx(0, abs=1e-4), pytest.approx(0, abs=1e-4))
    noise = np.random.default_rng(1).normal(0, 0.1, (2, 24 * RATE, 1))
    left = InMemory(noise[0])
    equal = compare_pieces(left, InMemory(noise[0] + noise[1]), 0.0, RATE)  # coherence S / (S + N)
    assert equal.coherence == pytest.approx(0.5, abs=0.06)
    low = sosfilt(butter(1, 250, "low", fs=RATE, output="sos"), noise[0], axis=0)
    shelf = compare_pieces(left, InMemory(noise[0] - 0.5 * low), 0.0, RATE)  # the lowest band loses 20 log10(2) at 0 Hz
    assert 4 < shelf.tilt_db < 6.1
    steps = np.where(np.arange(len(noise[0])) // RATE % 12 < 2, 0.5, 1.0)[:, None]
    louder = compare_pieces(left, InMemory(noise[0] * steps), 0.0, RATE)
    assert louder.motion_db == pytest.approx(6.02, abs=0.1)


def test_an_offset_is_found_to_the_sample_near_where_it_was_told():
    assert compare(SOUND[12_345:], 12_345 / RATE + 0.05).is_same
    later = np.concatenate([np.zeros((7_001, 2)), SOUND])
    assert compare(later, -7_001 / RATE - 0.03).coherence == pytest.approx(1, abs=1e-3)
    assert not compare(SOUND[12_345:], 12_345 / RATE + 0.5).is_same
    assert compare_pieces(InMemory(SOUND), InMemory(SOUND), 23.95, RATE) is None
    assert compare_pieces(InMemory(0 * SOUND), InMemory(0 * SOUND), 0.0, RATE) is None


def test_preparation_keeps_other_mixes_in_one_split_and_drops_copies(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    soundfile.write(source / "song.flac", 0.5 * SOUND, RATE)
    write_m4a(source / "copy.m4a", 0.5 * SOUND[30_000:], RATE)
    for name in ("a second voice, softer", "a high-pass", "less bass"):
        soundfile.write(source / f"{name}.flac", 0.5 * DIFFERENT[name](SOUND), RATE)
    for seed in (5, 6, 7):
        soundfile.write(source / f"{seed}.flac", piece(20.0, RATE, seed, 2), RATE)
    report = prepare(below(source), tmp_path / "out", DataConfig(sample_rate_hz=11008, channels=1, heldout_share=0.4), 2)
    assert {file.path: file.duplicate_of for file in report.files if file.status == "duplicate"} == {"copy.m4a": "song.flac"}
    mixes = [file for file in report.kept if file.path not in ("5.flac", "6.flac", "7.flac")]
    assert len(mixes) == 4
    assert len({report.splits[file.piece] for file in mixes}) == 1
