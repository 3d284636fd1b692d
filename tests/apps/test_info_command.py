"""`mp3net info` of folders that are not finished or were not made by mp3net: the next command is printed, and works."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import soundfile

from mp3net.apps.unfinished import holds_recordings
from mp3net.config import PRESETS
from mp3net.data.index import read_index
from mp3net.generation import MP3net
from mp3net.generation.places import BUNDLED
from mp3net.words import counted, mono_or_stereo
from tests.recordings import music, write_folder

FOLDER = "my [old] music"


@pytest.fixture
def recordings(tmp_path) -> Path:
    write_folder(tmp_path / FOLDER)
    return tmp_path / FOLDER


@pytest.mark.parametrize(
    ("given", "printed"),
    [
        (["--preset", "nano-1.5s"], ["--preset", "nano-1.5s"]),
        (["--preset", "nano-1.5s", "--channels", "2"], ["--sample-rate", "11008", "--min-duration", "1.494186046511628"]),
        (
            [
                "--sample-rate", "8000", "--channels", "1", "--trim-silence", "off", "--keep-dc", "--level", "loudness",
                "--loudness", "-14", "--downmix", "--strict", "--keep-duplicates", "--heldout", "0.4", "--split-seed", "3",
            ],
            [
                "--sample-rate", "8000", "--channels", "1", "--trim-silence", "off", "--keep-dc", "--level", "loudness",
                "--loudness", "-14.0", "--downmix", "--strict", "--keep-duplicates", "--heldout", "0.4", "--split-seed", "3",
            ],
        ),
        ([], []),
    ],
)  # fmt: skip
def test_an_unfinished_dataset_says_how_far_it_is_and_what_goes_on(mp3net, recordings, given, printed):
    command = ["prepare", FOLDER, "--out", "data/half [done]", *given]
    assert mp3net(*command, "--workers", 1, "--shard", "1/2")[0] == 0
    done = len(list(Path("data/half [done]/pieces.partial").glob("*.json"))) - 1
    status, out, _ = mp3net("info", "data/half [done]")
    first, last = out.splitlines()
    assert (status, 0 < done < 6) == (0, True)
    assert first.startswith(
        f"unfinished dataset data/half [done]: {counted(done, 'file')} decoded or found unusable so far."
    )
    assert shlex.split(last) == ["mp3net", "prepare", str(recordings), "--out", "data/half [done]", *printed]
    status, _, err = mp3net("train", "data/half [done]", "--preset", "nano-1.5s", "--out", "r")
    assert (status, "holds an unfinished dataset; `mp3net info 'data/half [done]'` prints the command" in err) == (2, True)
    assert mp3net(*shlex.split(last)[1:], "--workers", 1)[0] == 0
    assert read_index(Path("data/half [done]")).preset == ("nano-1.5s" if printed[:1] == ["--preset"] else None)
    assert mp3net("info", "data/half [done]")[1].startswith("dataset data/half [done]: ")


def test_what_the_plan_does_not_tell_is_left_open(mp3net, tmp_path):
    Path("data/pieces.partial").mkdir(parents=True)
    status, out, _ = mp3net("info", "data")
    assert (status, out.splitlines()[1]) == (0, "the same `mp3net prepare` command as before")
    for text in ("{", "[]", '{"folder": "x", "fixed_splits": "y", "config": {"channels": 9}}'):
        Path("data/pieces.partial/plan.json").write_text(text)
        assert mp3net("info", "data")[1].splitlines()[1] == "the same `mp3net prepare` command as before"
    Path("data/pieces.partial/plan.json").write_text('{"folder": "x y", "fixed_splits": "of MAESTRO", "config": {}}')
    line = mp3net("info", "data")[1].splitlines()[1]
    assert line == "mp3net prepare --maestro 'x y' --out data   (and --years, if it was given before)"


def test_recordings_are_to_be_prepared(mp3net, recordings, tmp_path):
    status, out, err = mp3net("info", FOLDER)
    assert (status, out, err.startswith(f"error: {FOLDER}: holds recordings; this makes a dataset")) == (2, "", True)
    command = shlex.split(err.strip().rpartition(": ")[2])
    assert command == ["mp3net", "prepare", FOLDER, "--out", f"data/{FOLDER}"]
    assert mp3net(*command[1:], "--workers", 1)[0] == 0
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("a")
    status, _, err = mp3net("info", "texts")
    assert (status, err) == (2, "error: texts: holds no snapshot, run or dataset, and no recordings\n")
    assert holds_recordings(recordings)
    assert not holds_recordings(tmp_path / "texts")


def test_presets_can_be_told_from_what_a_plan_holds():
    kinds = {
        (config.audio.sample_rate_hz, config.audio.channels, config.track_samples / config.audio.sample_rate_hz)
        for config in PRESETS.values()
    }
    assert len(kinds) == len(PRESETS)


def test_one_is_singular(mp3net, tmp_path):
    (tmp_path / "one").mkdir()
    soundfile.write(tmp_path / "one" / "a.wav", music(4, 11008, 1), 11008)
    status, out, _ = mp3net("prepare", "one", "--out", "data", "--preset", "nano-1.5s", "--shard", "1/1")
    assert (status, "prepared 1 of 1 file, " in out) == (0, True)
    assert "Now the same command without --shard finishes the dataset" in " ".join(out.split())
    assert "unfinished dataset data: 1 file decoded" in mp3net("info", "data")[1]
    assert mp3net("prepare", "one", "--out", "data", "--preset", "nano-1.5s")[0] == 0
    out = mp3net("info", "data")[1]
    assert (": 11008 Hz, mono, prepared for" in out, "train: 1 piece, " in out, "heldout: 0 pieces, " in out) == (True,) * 3
    status, out, _ = mp3net("train", "data", "--out", "r", "--device", "cpu", "--tracks", 8, "--dry-run")
    assert (status, "data: 1 piece, " in out, "2 discriminator steps per" in out) == (0, True, True)
    status, _, err = mp3net("train", "data", "--preset", "micro-6s", "--out", "r")
    assert (status, "data: its only train piece is not as long as one crop of 5.96 s" in err) == (2, True)
    status, out, _ = mp3net("parquet", "data", "--out", "parquet")
    assert (status, out.splitlines()[0], "wrote 1 Parquet file, " in out) == (0, "1 of 1 piece", True)
    status, _, err = mp3net("train", "data", "--preset", "piano-5s", "--out", "r")
    assert "was prepared at 11008 Hz, mono, but the model needs 22016 Hz, stereo" in err


def test_a_snapshot_names_its_sliders(mp3net):
    status, out, _ = mp3net("info", "bundled")
    told = next(line for line in out.splitlines() if line.startswith("sliders, by what one unit changes: "))
    sliders = MP3net.from_pretrained().sliders
    assert (status, sorted(re.findall("[a-z]+(?= [+-])", told))) == (0, sorted(sliders.directions))
    measured = json.loads((BUNDLED / "sliders.json").read_text())["sliders"]["level"]["effects"]["level"][0]
    assert f"level +{measured:.2g} dB" in told
    shutil.copytree(BUNDLED, "copy")
    Path("copy/sliders.json").write_text('{"weights": "others", "sliders": {}}')
    status, out, _ = mp3net("info", "copy")
    assert (status, "no sliders: copy/sliders.json: belongs to other weights" in out, "tracks_seen: " in out) == (
        0,
        True,
        True,
    )


def test_a_folder_of_songs_lists_those_that_say_how_they_were_made(mp3net, tmp_path):
    assert mp3net("generate", "--seed", "4,7", "--duration", 1, "--truncation", 0.5, "--out", "mine")[0] == 0
    soundfile.write(tmp_path / "mine" / "other.wav", music(1, 11008, 1), 11008)
    (tmp_path / "mine" / "broken.flac").write_bytes(b"fLaC")
    status, out, err = mp3net("info", "mine")
    weights = MP3net.from_pretrained().snapshot.digest
    assert (status, err, out.splitlines()) == (
        0,
        "",
        [
            *(f"song mine/seed-{seed}.wav: 1.0 s, seed {seed}, truncation 0.5, weights {weights}" for seed in (4, 7)),
            "all about one of them: mp3net info mine/seed-7.wav",
        ],
    )


def test_a_song_that_was_cut_is_called_incomplete(mp3net, tmp_path):
    assert mp3net("generate", "--seed", 4, "--duration", 3, "--out", "song.wav")[0] == 0
    status, out, _ = mp3net("info", "song.wav")
    assert (status, "incomplete" in out, "make it again: mp3net generate --like song.wav" in out) == (0, False, True)
    samples, rate = soundfile.read("song.wav")
    with soundfile.SoundFile("cut.wav", "w", rate, 1, "PCM_16") as file:
        file.comment = soundfile.SoundFile("song.wav").comment
        file.write(samples[:rate])
    status, out, _ = mp3net("info", "cut.wav")
    assert (status, "incomplete: 1.0 of 3.0 s" in out) == (0, True)


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3"])
def test_what_can_be_decoded_counts_not_what_the_header_says(mp3net, ending):
    Path("mine").mkdir()
    assert mp3net("generate", "--seed", 4, "--duration", 8, "--out", f"mine/whole.{ending}")[0] == 0
    assert "incomplete" not in mp3net("info", f"mine/whole.{ending}")[1]
    whole = Path(f"mine/whole.{ending}").read_bytes()
    Path(f"mine/cut.{ending}").write_bytes(whole[: len(whole) * 2 // 3])
    status, out, _ = mp3net("info", f"mine/cut.{ending}")
    said = r"^incomplete: .*(are missing: the file ends [23].\d s early|the file breaks off at 0:0[245]) \(an unfinished download"
    assert (status, re.search(said, out, re.M) is not None) == (0, True), out
    listed = mp3net("info", "mine")[1].splitlines()
    assert re.match(rf"song mine/cut.{ending}: [2456]\.\d s, seed 4", listed[0])
    assert [line[:11] for line in listed[1:3]] == ["incomplete:", "song mine/w"]
    assert re.match(rf"song mine/whole.{ending}: 8\.0 s, seed 4", listed[2])


def test_a_song_of_which_nothing_can_be_decoded_is_called_so(mp3net):
    assert mp3net("generate", "--seed", 4, "--duration", 8, "--out", "song.flac")[0] == 0
    whole = Path("song.flac").read_bytes()
    music = whole.index(b"\xff\xf8")
    Path("song.flac").write_bytes(whole[:music] + bytes(len(whole) - music))
    status, out, _ = mp3net("info", "song.flac")
    assert (status, "\nincomplete: corrupt: nothing in it can be decoded\n" in out) == (0, True), out


def test_presets_that_are_nearly_named(mp3net):
    status, _, err = mp3net("info", "mp3net2-nan")
    assert (status, "did you mean the preset mp3net2-nano? Otherwise name a snapshot, a run" in err) == (2, True)
    status, _, err = mp3net("info", "nothing like it")
    assert (status, "nothing like it: no such folder or file; name a snapshot, a run" in err) == (2, True)


def test_words():
    assert [counted(number, "file") for number in (0, 1, 2, 12_000)] == ["0 files", "1 file", "2 files", "12,000 files"]
    assert (counted(1, "process"), counted(2, "process")) == ("1 process", "2 processes")
    assert [mono_or_stereo(channels) for channels in (1, 2, 6)] == ["mono", "stereo", "6 channels"]


def test_info_lists_presets_and_describes_the_bundled_snapshot(mp3net):
    status, out, _ = mp3net("info")
    assert status == 0
    assert "piano-95s" in out
    assert "begin with mp3net2-nano" in out
    status, out, _ = mp3net("info", "micro-6s")
    assert (status, json.loads(out)) == (0, json.loads(json.dumps(PRESETS["micro-6s"].model_dump())))
    status, out, _ = mp3net("info", BUNDLED)
    assert status == 0
    assert "tracks_seen: " in out
    assert "\nstages: 67,600 tracks of 1.5 s in 62 min, 24,000 tracks of 6.0 s in 63 min, " in out
    assert max(len(line) for line in out.splitlines()) < 1000
    assert out.splitlines()[-2:] == ["listen: mp3net studio", "all settings: mp3net info bundled --settings"]
    status, out, _ = mp3net("info", "bundled", "--settings")
    assert json.loads(out)["audio"] == PRESETS["mp3net2-6s"].audio.model_dump()
