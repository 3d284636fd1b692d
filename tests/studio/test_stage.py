"""What the studio does for visitors, without a page."""

from __future__ import annotations

import shutil
import wave

import numpy as np
import pytest
import soundfile

from mp3net.audio.reading import read
from mp3net.errors import Mp3netError
from mp3net.generation import BUNDLED, MP3net, SongSettings
from mp3net.studio.made import EACH_S, Songs
from mp3net.studio.shelf import BUNDLED_NAME, Shelf
from mp3net.studio.stage import Stage, nth_song, words_of


@pytest.fixture(scope="module")
def stage(songs):
    return Stage(Shelf([]), songs)


def test_songs_are_those_of_the_command_line(stage, tmp_path):
    settings = stage.settings(BUNDLED_NAME, 5.0, [0.0, 1.5], seed=7.0, truncation=0.8)
    slider = stage.slider_names(BUNDLED_NAME)[1]
    assert settings == SongSettings(seed=7, duration_s=5.0, truncation=0.8, sliders={slider: 1.5})
    played = stage.play(BUNDLED_NAME, settings)
    expected = MP3net.from_pretrained().song(settings)
    expected.save(tmp_path / "song.flac")
    for ending in ("wav", "flac"):
        path, name = stage.songs.file(played.key, ending)
        assert name == f"the-bundled-model-seed-7-truncation-0.8-{slider}-1.5.{ending}"
        # libsndfile rounds samples of WAV and FLAC differently.
        np.testing.assert_allclose(soundfile.read(path)[0], soundfile.read(tmp_path / "song.flac")[0], atol=2**-15)
    assert stage.like(stage.songs.file(played.key, "flac")[0]).kept == played.kept
    again = stage.again(played.kept)
    assert again.kept == played.kept
    np.testing.assert_array_equal(stage.songs.song(again.key).audio, expected.audio)


def test_blends_go_from_one_song_to_the_other(stage):
    def audio(**asked):
        return stage.songs.song(stage.play(BUNDLED_NAME, stage.settings(BUNDLED_NAME, 3.0, [], **asked)).key).audio

    one, other = audio(seed=1), audio(seed=2)
    np.testing.assert_allclose(audio(seed=1, variation=2.0, strength=0.0), one, atol=1e-6)
    np.testing.assert_allclose(audio(seed=1, variation=2.0, strength=1.0), other, atol=1e-4)
    middle = audio(seed=1, variation=2, strength=0.5)
    assert min(np.abs(middle - one).max(), np.abs(middle - other).max()) > 0.05


@pytest.mark.parametrize(
    ("length_s", "asked", "told"),
    [
        (181, {"seed": 1}, "length 181 s: at most 180 s"),
        (float("nan"), {"seed": 1}, "at most 180 s"),
        (0.01, {"seed": 1}, "0.1 s"),
        (5, {"seed": -1}, "seed -1: give a whole number"),
        (5, {"seed": 1.5}, "seed 1.5: give a whole number"),
        (5, {"seed": None}, "seed: is empty; give a whole number from 0 to 4294967295"),
        (5, {"seed": 1, "variation": None}, "second seed: is empty"),
        (5, {"seed": "../x"}, "give a whole number"),
        (5, {"seed": 1, "truncation": 9}, "strangeness 9: give a number from 0 to 2"),
        (2, {"seed": 1, "path": (2, 3)}, "make it 5 s"),
    ],
)
def test_what_cannot_be_made_is_said_in_the_words_of_the_page(stage, length_s, asked, told):
    with pytest.raises(Mp3netError, match=".") as refused:
        stage.settings(BUNDLED_NAME, length_s, [], **asked)
    assert told in str(refused.value)


@pytest.mark.parametrize(
    "kept",
    [
        None, [], "x", {}, {"model": 1, "seed": 1}, {"model": "/etc", "seed": 1}, {"model": BUNDLED_NAME},
        {"model": BUNDLED_NAME, "seed": "1; rm"}, {"model": BUNDLED_NAME, "seed": 1, "duration_s": 1e9},
        {"model": BUNDLED_NAME, "seed": 1, "streamed": True}, {"model": BUNDLED_NAME, "seed": 1, "folder": "/"},
    ],
)  # fmt: skip
def test_damaged_favourites_are_refused(stage, kept):
    with pytest.raises(Mp3netError):
        stage.again(kept)


def test_favourites_have_words():
    assert words_of({"model": "piano", "seed": 3, "duration_s": 12.0}) == "seed 3, 12 s, piano"
    assert words_of({"seed": "x"}) == "damaged"
    blend = {"model": "piano", "seed": 3, "variation": 4, "strength": 0.25, "duration_s": 12.0, "truncation": 0.5}
    assert words_of(blend) == "seeds 3 and 4 blended, 25% of the second, strangeness 0.5, 12 s, piano"


def test_files_that_mp3net_did_not_write_or_another_model_did(stage, run, tmp_path):
    soundfile.write(tmp_path / "foreign.wav", np.zeros(8000), 8000)
    with pytest.raises(Mp3netError, match="^This file carries no word of how it was made"):
        stage.like(tmp_path / "foreign.wav")
    MP3net.from_pretrained(run).generate(1, 2.0).save(tmp_path / "other.wav")
    with pytest.raises(Mp3netError, match="was made by another model"):
        stage.like(tmp_path / "other.wav")
    with_run = Stage(Shelf([run]), stage.songs)
    assert with_run.like(tmp_path / "other.wav").kept["model"] == "tiny run"


def test_the_shelf_opens_nothing_else(run, tmp_path, corrupt):
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.html").write_text("<h1>report</h1>")
    (tmp_path / "a").mkdir()
    shutil.copytree(BUNDLED, tmp_path / "a" / "corrupt")
    shelf = Shelf([run, corrupt, tmp_path / "a" / "corrupt", tmp_path / "report"])
    assert shelf.playable == ["tiny run", "corrupt", "corrupt (2)", BUNDLED_NAME]
    assert (shelf.runs, shelf.reports) == (["tiny run"], ["report"])
    for name in ("", "..", str(run), "tiny run/..", None, 3):
        with pytest.raises(Mp3netError, match="is not among what the studio was started with"):
            shelf.path(name)
    with pytest.raises(Mp3netError, match="generator.safetensors"):
        shelf.model("corrupt")
    assert shelf.model("corrupt (2)") is shelf.model("corrupt (2)")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "dataset.json").write_text("{}")
    with pytest.raises(Mp3netError, match="is a dataset; name runs, snapshots or reports"):
        Shelf([tmp_path / "data"])
    for wrong in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(Mp3netError):
            Shelf([wrong])


def test_a_run_in_training_plays_its_latest_snapshot(run, tmp_path):
    copied = tmp_path / "copied"
    shutil.copytree(run, copied)
    last = sorted((copied / "checkpoints").iterdir())[-1]
    last.rename(tmp_path / "later")
    shelf = Shelf([copied])
    before = shelf.model("copied").snapshot.digest
    (tmp_path / "later").rename(last)
    assert shelf.model("copied").snapshot.digest != before


def test_an_endless_stream_is_one_song_after_another(stage):
    model = stage.shelf.model(BUNDLED_NAME)
    endless, begun = stage.endless(BUNDLED_NAME, SongSettings(seed=2**32 - 1, truncation=0.8))
    assert stage.songs.endless(begun.key) is endless
    assert begun.said == "Endless, strangeness 0.8: 180 s of each seed, until you make something else"
    expected = {"model": BUNDLED_NAME, "seed": 2**32 - 1, "duration_s": EACH_S, "truncation": 0.8}
    assert begun.kept == nth_song(begun.kept, 0) == nth_song(begun.kept, "x") == nth_song(begun.kept, -1) == expected
    assert nth_song(begun.kept, 2.0) == expected | {"seed": 1}
    assert stage.again(nth_song(begun.kept, 1)).said.startswith("Seed 0, strangeness 0.8: 180 s")
    chunks = endless.chunks()
    header = next(chunks)
    assert header[:4] == b"RIFF"
    needed = round(EACH_S * 11008)
    samples = np.zeros(0, np.int16)
    while len(samples) < needed + 11008:
        samples = np.concatenate([samples, np.frombuffer(next(chunks), "<i2")])
    first = model.generate(2**32 - 1, EACH_S, truncation=0.8).audio[0]
    second = model.generate(0, EACH_S, truncation=0.8).audio[0]
    gain = np.abs(samples[needed - 5000 : needed]).max() / np.abs(first[needed - 5000 : needed]).max()
    np.testing.assert_allclose(samples[needed - 5000 : needed], gain * first[needed - 5000 : needed], atol=2)
    np.testing.assert_allclose(samples[needed : needed + 11008], gain * second[:11008], atol=2)


def test_songs_are_forgotten_where_there_are_too_many(stage, tmp_path):
    song = MP3net.from_pretrained().generate(1, 1.0)
    songs = Songs(kept_bytes=3 * song.audio.nbytes)
    keys = [songs.add(f"song {number}", song) for number in range(3)]
    assert all(songs.file(key, "png")[0].read_bytes().startswith(b"\x89PNG") for key in keys)
    first = songs.file(keys[0], "wav")[0]
    with wave.open(str(first)) as file:
        assert file.getframerate() == 11008
    songs.add("another", song)
    assert songs.file(keys[0], "wav") is None
    assert not first.exists()
    assert songs.file(keys[1], "wav") is not None
    assert songs.file(keys[1], "exe") is None
    assert len(set(keys)) == 3
    assert read(songs.file(keys[1], "mp3")[0])[0].shape[0] == 1
    songs.close()
