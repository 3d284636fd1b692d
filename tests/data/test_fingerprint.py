"""The same audio is found whatever became of it; other music, and other takes of the same, are not."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
import soxr

from mp3net.audio.decoding import probe
from mp3net.config import DataConfig
from mp3net.data.fingerprint import Fingerprinter, Likeness, copies, find_alike
from mp3net.data.preparation import prepare
from mp3net.data.recordings import below
from tests.recordings import piece, write_m4a

RATE = 22050
SOUND = piece(20.0, RATE, 1, 2)


def words(sound: np.ndarray, rate: int = RATE, block: int = 50_000) -> np.ndarray:
    prints = Fingerprinter(rate)
    for begin in range(0, len(sound), block):
        prints.add(sound[begin : begin + block].astype(np.float32))
    return prints.words()


def coded(sound: np.ndarray, **options) -> np.ndarray:
    file = io.BytesIO()
    soundfile.write(file, sound, RATE, **options)
    file.seek(0)
    return soundfile.read(file, dtype="float32", always_2d=True)[0]


CHANGES = {
    "lossy": lambda sound: coded(sound, format="MP3", subtype="MPEG_LAYER_III"),
    "vorbis": lambda sound: coded(sound, format="OGG", subtype="VORBIS"),
    "lower level, inverted": lambda sound: -0.1 * sound,
    "one side only": lambda sound: np.repeat(sound.mean(1, keepdims=True), 2, 1),
    "begins later": lambda sound: sound[17_345:],
    "with a silence before": lambda sound: np.concatenate([np.zeros((30_011, 2)), sound]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_copy_is_found(change):
    alike = find_alike([words(piece(20.0, RATE, 2, 2)), words(SOUND), words(CHANGES[change](SOUND))])
    assert [(like.a, like.b, like.is_copy) for like in alike] == [(1, 2, True)]
    assert alike[0].bit_errors < 0.15


def test_a_copy_at_another_rate_is_found_and_blocks_do_not_matter():
    resampled = soxr.resample(SOUND, RATE, 44100)
    alike = find_alike([words(SOUND), words(resampled, 44100)])
    assert [like.is_copy for like in alike] == [True]
    np.testing.assert_array_equal(words(SOUND), words(SOUND, block=777))
    assert len(words(SOUND)) == pytest.approx(20 / 0.0232, abs=18)


def test_a_part_of_a_longer_recording_is_found_and_other_music_is_not():
    album = np.concatenate([piece(15.0, RATE, 3, 2), SOUND, piece(15.0, RATE, 4, 2)])
    others = [words(piece(20.0, RATE, seed, 2)) for seed in range(10, 20)]
    alike = find_alike([*others, words(album), words(SOUND)])
    assert [(like.a, like.b) for like in alike] == [(10, 11)]
    assert copies(alike, [*map(len, others), 2156, 862]) == {11: 10}


def test_the_same_music_with_other_notes_is_related_but_no_copy():
    changed = SOUND.copy()
    other = piece(20.0, RATE, 77, 2)
    for begin in range(0, 20, 6):  # two seconds of every six are different
        part = slice(begin * RATE, (begin + 2) * RATE)
        changed[part] = other[part]
    alike = find_alike([words(SOUND), words(changed)])
    assert [like.is_copy for like in alike] == [False]


def test_silence_and_noise_are_like_nothing():
    noise = np.random.default_rng(0).normal(0, 0.1, (3, RATE * 10, 2))
    assert find_alike([words(sound) for sound in (*noise, np.zeros((RATE * 10, 2)), np.zeros((RATE * 10, 2)))]) == []
    assert find_alike([]) == []
    assert find_alike([words(SOUND[:100]), words(SOUND[:0])]) == []


def like(a: int, b: int, errors: float = 0.05) -> Likeness:
    return Likeness(a, b, errors, errors)


def test_which_of_the_copies_stays():
    assert copies([like(0, 1)], [100, 101]) == {1: 0}, "equally long: the first of the list"
    assert copies([like(0, 1)], [100, 110]) == {0: 1}, "the longer one"
    assert copies([like(0, 1), like(1, 2)], [50, 100, 60]) == {0: 1, 2: 1}, "both are parts of the long one"
    assert copies([like(0, 1), like(1, 2)], [100, 60, 101]) == {1: 2}, "only copies of what stays are dropped"
    assert copies([like(0, 1), like(0, 2), like(1, 2)], [100, 101, 102]) == {1: 0, 2: 0}
    assert copies([Likeness(0, 1, 0.2, 0.4)], [100, 100]) == {}, "related, but no copy"


def test_preparation_keeps_the_best_copy_and_says_of_what_the_others_are_copies(tmp_path):
    source = tmp_path / "in"
    (source / "more").mkdir(parents=True)
    soundfile.write(source / "z master.flac", SOUND, RATE)
    soundfile.write(source / "a.mp3", SOUND, RATE, format="MP3")
    soundfile.write(source / "more" / "b.wav", soxr.resample(SOUND, RATE, 16000), 16000)
    write_m4a(source / "c.m4a", SOUND, RATE)
    soundfile.write(source / "other.wav", piece(20.0, RATE, 9, 2), RATE)
    config = DataConfig(sample_rate_hz=11008, channels=1)
    report = prepare(below(source), tmp_path / "out", config, 2)
    assert {file.path for file in report.kept} == {"z master.flac", "other.wav"}
    copied = {file.path: file.duplicate_of for file in report.files if file.status == "duplicate"}
    assert copied == dict.fromkeys(["a.mp3", "c.m4a", "more/b.wav"], "z master.flac")
    assert len(list((tmp_path / "out").rglob("*.arrow"))) == 2
    kept = prepare(below(source), tmp_path / "kept", config.model_copy(update={"drop_duplicates": False}), 2)
    assert len(kept.kept) == 5
    assert len({kept.splits[file.piece] for file in kept.kept if file.group}) == 1, "copies share a split"
    assert sum(bool(file.group) for file in kept.kept) == 4


def test_formats_that_lost_nothing_are_known(tmp_path):
    for name, options, lossless in (
        ("a.wav", {}, True), ("b.flac", {}, True), ("c.mp3", {}, False), ("d.ogg", {}, False),
        ("e.wav", {"subtype": "ULAW"}, False),
    ):  # fmt: skip
        soundfile.write(tmp_path / name, SOUND, RATE, **options)
        info = probe(tmp_path / name)
        assert info.lossless == lossless, name
        assert info.duration_s == pytest.approx(20, abs=0.2)
    write_m4a(tmp_path / "f", SOUND, RATE)
    assert not probe(tmp_path / "f").lossless
    assert probe(tmp_path / "f").duration_s == pytest.approx(20, abs=0.2)
