"""Where `mp3net generate` writes: endings that mean a format, and standard output."""

from __future__ import annotations

import io
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mp3net.apps import generate, waiting
from mp3net.apps.targets import plan_targets
from mp3net.audio.growing import GrowingFile
from mp3net.audio.stored import StoredAudio
from mp3net.errors import Mp3netError
from mp3net.generation import MP3net, SongSettings, read_origin

SONG = SongSettings(seed=1)
COMMAND = [sys.executable, "-m", "mp3net", "generate", "--seed", "3"]


@pytest.mark.parametrize(("name", "found"), [("a.oga", "OGG"), ("a.OGA", "OGG"), ("a.wave", "WAV")])
def test_other_endings_of_a_format(mp3net, tmp_path, name, found):
    assert mp3net("generate", "--out", name)[0] == 0
    info = soundfile.info(tmp_path / name)
    assert (info.format, info.subtype) == (found, {"OGG": "VORBIS", "WAV": "PCM_16"}[found])
    MP3net.from_pretrained().generate(1).save(tmp_path / f"api-{name}")
    assert soundfile.info(tmp_path / f"api-{name}").format == found


def test_an_ending_and_the_usual_name_of_its_format_agree():
    assert plan_targets([SONG], Path("x.oga"), "ogg") == [Path("x.oga")]
    assert plan_targets([SONG], None, "oga") == [Path("song.ogg")]
    with pytest.raises(Mp3netError, match="ends in .oga, but --format is flac"):
        plan_targets([SONG], Path("x.oga"), "flac")


@pytest.mark.parametrize("arguments", [[], ["--format", "flac"], ["--format", "oga"], ["--format", "mp3"]])
def test_standard_output_gets_the_file_and_nothing_else(mp3net, tmp_path, arguments):
    done = subprocess.run([*COMMAND, "--out", "-", *arguments], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0
    assert done.stderr.startswith(b"standard output: ")
    assert done.stderr.count(b"\n") == 1
    assert list(tmp_path.iterdir()) == []
    ending = {"oga": "ogg"}.get(arguments[-1], arguments[-1]) if arguments else "wav"
    assert mp3net("generate", "--seed", 3, "--out", f"song.{ending}")[0] == 0
    piped, written = (soundfile.read(source)[0] for source in (io.BytesIO(done.stdout), f"song.{ending}"))
    assert (piped == written).all()


def test_a_reader_that_ends_early_is_named(tmp_path):
    with subprocess.Popen([*COMMAND, "--out", "-"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        errors = process.stderr.read()
    assert (process.returncode, errors) == (2, b"error: --out -: the reading program ended before it had the whole song\n")


def test_what_standard_output_cannot_take(mp3net, tmp_path, monkeypatch):
    status, _, err = mp3net("generate", "--out", "-", "--seed", "1..3")
    assert (status, "--out - writes one song, but there are 3; name a folder" in err) == (2, True)
    status, _, err = mp3net("generate", "--out", "-", "--format", "aac")
    assert (status, "--format 'aac': choose one of wav" in err) == (2, True)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    status, _, err = mp3net("generate", "--out", "-")
    assert (status, "--out -: standard output is a terminal; send it to a program or a file" in err) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_a_growing_file_is_the_song_lowered_where_it_would_be_clipped(mp3net, tmp_path):
    """What is written while it is made is what is made at once, up to a gain that only falls."""
    assert mp3net("generate", "--seed", 3, "--duration", "12s", "--stream", "--out", "grown.wav")[0] == 0
    grown = soundfile.read(tmp_path / "grown.wav")[0]
    made = MP3net.from_pretrained().generate(3, 12.0).audio[0]
    assert len(grown) == len(made)
    loud = np.abs(made) > 0.1
    gains = grown[loud] / made[loud]
    assert gains.max() <= 1.01
    assert np.abs(grown).max() <= 1
    assert np.all(np.diff(np.minimum.accumulate(gains)) <= 0)
    assert gains.min() == pytest.approx(min(1.0, 0.999 / np.abs(made).max()), rel=0.01)
    assert read_origin(tmp_path / "grown.wav").settings == SongSettings(seed=3, duration_s=12.0, streamed=True)


@pytest.mark.parametrize("ending", ["flac", "ogg"])
def test_growing_files_of_other_formats(mp3net, tmp_path, ending):
    status, out, _ = mp3net("generate", "--duration", 7, "--stream", "--out", f"grown.{ending}")
    assert (status, "first sound after" in out) == (0, True)
    assert soundfile.info(tmp_path / f"grown.{ending}").frames == 7 * 11008


def test_a_stream_to_a_player_is_a_wav_of_unknown_length(mp3net, tmp_path):
    done = subprocess.run([*COMMAND, "--duration", "7", "--stream", "--out", "-"], cwd=tmp_path, capture_output=True)
    assert (done.returncode, done.stdout[:4], done.stdout[8:16]) == (0, b"RIFF", b"WAVEfmt ")
    assert list(tmp_path.iterdir()) == []
    assert mp3net("generate", "--seed", 3, "--duration", "7", "--stream", "--out", "grown.wav")[0] == 0
    grown, samples = (
        soundfile.read(tmp_path / "grown.wav", dtype="int16")[0],
        np.frombuffer(done.stdout.partition(b"data")[2][4:], "<i2"),
    )
    assert np.array_equal(samples, grown)


def test_the_same_song_again(mp3net, tmp_path):
    options = ["--truncation", 0.8, "--variation", 4, "--strength", 0.3, "--form", "AB", "--duration", 5, "--normalize"]
    assert mp3net("generate", "--seed", 9, *options, "--out", "song.flac")[0] == 0
    status, out, _ = mp3net("info", "song.flac")
    assert (status, "song song.flac: seed 9, variation 4 at 0.3, form AB, truncation 0.8" in out) == (0, True)
    again = next(line for line in out.splitlines() if line.startswith("make it again: ")).split(" (")[0].split()[5:]
    again = [word for word in again if word != "SNAPSHOT"]
    assert mp3net("generate", *again)[0] == 0
    a, b = (soundfile.read(tmp_path / name, dtype="int16")[0] for name in ("song.flac", "again.flac"))
    assert np.array_equal(a, b)


def test_a_stream_again_is_the_stream(mp3net, tmp_path):
    """The gain of a stream falls on the way: what makes it again must write it so too."""
    assert mp3net("generate", "--seed", 3, "--duration", 12, "--stream", "--out", "grown.wav")[0] == 0
    assert mp3net("generate", "--like", "grown.wav", "--out", "again.wav")[0] == 0
    assert (tmp_path / "grown.wav").read_bytes() == (tmp_path / "again.wav").read_bytes()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--seed", 4], "--seed"), (["--duration", 30], "--duration"), (["--slide", "level=1"], "--slide"),
        (["--variation", 1], "--variation"), (["--local-seed", 3], "--local-seed"), (["--normalize"], "--normalize"),
        (["--stream"], "--stream"), (["--precision", "bfloat16"], "--precision"),
    ],
)  # fmt: skip
def test_options_beside_like_are_refused(mp3net, tmp_path, options, named):
    assert mp3net("generate", "--duration", 1, "--out", "song.wav")[0] == 0
    status, _, err = mp3net("generate", "--like", "song.wav", "--out", "again.wav", *options)
    assert (status, f"leave out {named}, or --like" in err, (tmp_path / "again.wav").exists()) == (2, True, False)


def test_a_variation_of_no_strength_is_the_song(mp3net, tmp_path):
    for name, options in (("a.wav", []), ("b.wav", ["--variation", 2, "--strength", 0])):
        assert mp3net("generate", "--duration", 2, "--out", name, *options)[0] == 0
    assert np.array_equal(soundfile.read(tmp_path / "a.wav")[0], soundfile.read(tmp_path / "b.wav")[0])


def test_another_model_does_not_make_it_again(mp3net, tmp_path, untrained):
    assert mp3net("generate", untrained, "--out", "other.wav")[0] == 0
    status, _, err = mp3net("generate", "--like", "other.wav", "--out", "again.wav")
    assert (status, "was made by the snapshot" in err, (tmp_path / "again.wav").exists()) == (2, True, False)
    assert mp3net("generate", untrained, "--like", "other.wav", "--out", "again.wav")[0] == 0
    assert (tmp_path / "other.wav").read_bytes() == (tmp_path / "again.wav").read_bytes()


def test_songs_that_are_too_long_for_memory_are_the_same(mp3net, tmp_path, monkeypatch):
    for options in (["--seed", 3], ["--seed", 3, "--normalize"]):
        assert mp3net("generate", *options, "--duration", 9, "--force", "--out", "short.wav")[0] == 0
        with monkeypatch.context() as patch:
            patch.setattr(generate, "MOST_IN_MEMORY", 1000)
            assert mp3net("generate", *options, "--duration", 9, "--force", "--out", "long.wav")[0] == 0
        a, b = (soundfile.read(tmp_path / name, dtype="int16")[0] for name in ("short.wav", "long.wav"))
        assert np.abs(a.astype(int) - b).max() <= 1
        assert read_origin(tmp_path / "long.wav") == read_origin(tmp_path / "short.wav")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--strength", 0.3], "--strength: says how far --variation goes"),
        (["--variation", "1..3"], "--variation: give --strength too"),
        (["--variation", "x", "--strength", 0.5], "--variation 'x': give a number"),
        (["--truncation", 3], "--truncation 3.0: give a number from 0 to 2; 1 changes nothing\n"),
        (["--form", "a"], "--form 'A': give 2 to 26 letters, such as ABA\n"),
        (
            ["--form", "ABA", "--path", 3],
            "error: a song either repeats the sections of a form or moves along a path, not both\n",
        ),
        (
            ["--form", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "--duration", 5],
            "its sections last 1.49 s each at least, and the song 5 s; make it 39 s\n",
        ),
        (["--local-seed", -1], "--local-seed -1: give a whole number from 0 to 4294967295\n"),
        (["--variation", 1, "--strength", 2], "--strength 2.0: give a number from 0, the song itself, to 1"),
        (["--slide", "register=9"], "--slide register=9: give units from -5 to 5\n"),
        (
            ["--slide", "register=1", "--slide", "register=2"],
            "--slide 'register=2': there is also --slide register=1; leave",
        ),
        (
            ["--path", "2..8", "--duration", 9],
            "path: its 8 seeds take 1.5 s each at least, and the song lasts 9 s; make it 12 s\n",
        ),
        (["--duration", "1:75"], "--duration '1:75': give seconds"),
        (["--duration", "ten"], "--duration 'ten': give seconds, or a time such as 90s, 10min, 1h or 1:30"),
        (["--duration", "25h"], "songs last from 0.1 s to 24 hours"),
        (["--stream", "--normalize"], "the peak of a stream is known only at its end"),
        (["--stream", "--out", "a.mp3"], "MP3 has no sample rate of 11008 Hz; choose wav, flac or ogg"),
        (["--like", "none.wav"], "none.wav: no such file"),
        (["--out", "song.xyz"], "cannot write .xyz"),
        (["--out", "song.m4a"], "cannot write .m4a"),
        (["--out", "bad\udcff.wav"], r"--out 'bad\udcff.wav': is no text in UTF-8; choose another name"),
        (["hf://foo"], "error: hf://foo: models of the hub are called hf://OWNER/NAME\n"),
        ([__file__], "test_generate_command.py: is a file; expected a snapshot"),
        (["--out", "/dev/null"], "--out /dev/null: is no folder, and its name has no ending of a format"),
        (["--out", f"{__file__}/song.wav"], "test_generate_command.py: is a file, not a folder; name another\n"),
        (["--out", ""], "error: --out: nothing follows; is it a variable of the shell that has no value?\n"),
        (["--out="], "error: --out=: nothing follows"),
        ([""], "error: generate: nothing follows"),
        (["--duration", "24h", "--seed", "1..90000"], "90,000 songs may take "),
    ],
)
def test_wrong_options_are_refused_in_one_line(mp3net, tmp_path, options, message):
    status, out, err = mp3net("generate", *options)
    assert (status, out, err.count("\n"), message in err) == (2, "", 1, True), err
    assert list(tmp_path.iterdir()) == []


def test_the_length_that_is_proposed_is_enough(mp3net):
    assert mp3net("generate", "--form", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "--duration", 39, "--out", "a.wav")[0] == 0
    assert mp3net("generate", "--path", "2..8", "--duration", 12, "--out", "b.wav")[0] == 0


def test_names_that_are_too_long_are_refused_in_one_line(mp3net):
    name = 300 * "x"
    for command in (
        ["generate", "--out", f"{name}.wav"], ["generate", "--out", name], ["generate", name], ["info", f"{name}.wav"],
        ["generate", "--like", f"{name}.wav"], ["export", "--out", f"{name}.onnx"], ["export", "--format", "hub", "--out", name],
    ):  # fmt: skip
        status, _, err = mp3net(*command)
        assert (status, "File name too long" in err, err.count("\n")) == (2, True, 1), command


def test_a_stream_whose_end_cannot_be_written_gives_back_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "song.wav"
    path.write_bytes(b"what was there")

    close = soundfile.SoundFile.close

    def full(self):
        close(self)
        raise soundfile.LibsndfileError(2)

    with monkeypatch.context() as patch:
        patch.setattr(soundfile.SoundFile, "close", full)
        with pytest.raises(Mp3netError, match="song.wav: cannot be written"), GrowingFile(path, 1, 8000, "wav", {}) as file:
            file.append(np.zeros((1, 10), np.float32))
    assert ([found.name for found in tmp_path.iterdir()], path.read_bytes()) == (["song.wav"], b"what was there")


def test_what_was_there_is_back_after_an_interruption_at_any_moment(tmp_path, monkeypatch):
    path = tmp_path / "song.wav"

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for target in ("soundfile.SoundFile.__init__", "soundfile.SoundFile.__setattr__", "soundfile.SoundFile.write"):
        path.write_bytes(b"what was there")
        with monkeypatch.context() as patch:
            patch.setattr(target, interrupt)
            with pytest.raises(KeyboardInterrupt), GrowingFile(path, 1, 8000, "wav", {"title": "x"}) as file:
                file.append(np.zeros((1, 10), np.float32))
        assert ([found.name for found in tmp_path.iterdir()], path.read_bytes()) == (["song.wav"], b"what was there")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_stream_that_is_told_to_end_leaves_what_was_there(mp3net, tmp_path, number):
    assert mp3net("generate", "--duration", 2, "--out", "song.wav")[0] == 0
    before = (tmp_path / "song.wav").read_bytes()
    command = [*COMMAND, "--duration", "24h", "--stream", "--force", "--out", "song.wav"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # nohup ignores one of them
    ) as process:  # fmt: skip
        while not any(path.name.endswith(".partial") for path in tmp_path.iterdir()):
            time.sleep(0.01)
        process.send_signal(number)
        out, errors = process.communicate(timeout=60)
    assert (process.returncode, out, errors) == (130, b"", b"interrupted\n")
    assert ((tmp_path / "song.wav").read_bytes() == before, len(list(tmp_path.iterdir()))) == (True, 1)


def test_a_stream_after_one_that_was_killed_gives_back_the_first(mp3net, tmp_path, monkeypatch):
    (tmp_path / ".song.wav.replaced.partial").write_bytes(b"what was there")
    (tmp_path / "song.wav").write_bytes(b"half a stream")

    def full(self, piece):
        raise Mp3netError("song.wav: cannot be written: No space left on device")

    monkeypatch.setattr(GrowingFile, "append", full)
    assert mp3net("generate", "--stream", "--force", "--out", "song.wav")[0] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["song.wav"]
    assert (tmp_path / "song.wav").read_bytes() == b"what was there"


def test_long_songs_say_how_far_they_are(mp3net, monkeypatch):
    monkeypatch.setattr(waiting, "LINE_EVERY_S", 0.0)
    status, _, err = mp3net("generate", "--duration", 12, "--stream", "--out", "song.wav")
    lines = err.splitlines()
    assert status == 0
    assert len(lines) >= 3
    assert all(re.fullmatch(r"\d+ of 12 s made, [\d.]+ times real time, \d+ s left", line) for line in lines)
    assert lines[-1].startswith("12 of 12 s made")


def test_letters_of_a_form_may_be_small(mp3net, tmp_path):
    assert mp3net("generate", "--form", "aba", "--duration", 6, "--out", "song.wav")[0] == 0
    assert read_origin(tmp_path / "song.wav").settings.form == "ABA"


def test_a_path_has_a_step_for_every_seed(mp3net):
    assert mp3net("generate", "--path", "2..7", "--duration", 10.5, "--out", "song.wav")[0] == 0


@pytest.mark.parametrize(
    "command", [["generate", "--out", "kept/song.wav"], ["generate", "--seed", "1..2", "--out", "kept/a/b"]]
)
def test_permission_is_asked_for_before_anything_is_made(mp3net, tmp_path, monkeypatch, command):
    (tmp_path / "kept").mkdir()
    monkeypatch.setattr("os.access", lambda path, mode: Path(path).name != "kept")
    monkeypatch.setattr(MP3net, "song", None)
    status, out, err = mp3net(*command)
    assert (status, out, f"{tmp_path / 'kept'}: no permission to write there; name another folder" in err) == (2, "", True)
    assert list((tmp_path / "kept").iterdir()) == []


def test_a_piped_stream_says_how_it_was_made(mp3net, tmp_path):
    done = subprocess.run([*COMMAND, "--duration", "4", "--stream", "--out", "-"], cwd=tmp_path, capture_output=True)
    (tmp_path / "piped.wav").write_bytes(done.stdout)
    assert read_origin(tmp_path / "piped.wav").settings == SongSettings(seed=3, duration_s=4.0, streamed=True)
    assert mp3net("generate", "--like", "piped.wav", "--out", "again.wav")[0] == 0
    piped, again = (soundfile.read(tmp_path / name, dtype="int16")[0] for name in ("piped.wav", "again.wav"))
    assert np.array_equal(piped, again)


def test_a_stream_that_fails_gives_back_what_it_was_to_replace(mp3net, tmp_path, monkeypatch):
    assert mp3net("generate", "--duration", 2, "--out", "song.wav")[0] == 0
    before = (tmp_path / "song.wav").read_bytes()

    def full(self, piece):
        raise Mp3netError("song.wav: cannot be written: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(GrowingFile, "append", full)
        assert mp3net("generate", "--stream", "--force", "--out", "song.wav")[0] == 2
    assert ((tmp_path / "song.wav").read_bytes() == before, len(list(tmp_path.iterdir()))) == (True, 1)
    assert mp3net("generate", "--stream", "--force", "--out", "song.wav")[0] == 0
    assert ((tmp_path / "song.wav").read_bytes() != before, len(list(tmp_path.iterdir()))) == (True, 1)


def test_a_disk_that_fills_up_leaves_nothing(mp3net, tmp_path, monkeypatch):
    def full(self, piece):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(StoredAudio, "append", full)
    monkeypatch.setattr(generate, "MOST_IN_MEMORY", 1000)
    status, _, err = mp3net("generate", "--out", "long.wav")
    assert (status, err) == (2, "error: long.wav: cannot be written: No space left on device\n")
    assert list(tmp_path.iterdir()) == []


def test_a_stream_that_cannot_go_on_leaves_nothing(mp3net, tmp_path, monkeypatch):
    def full(self, piece):
        raise Mp3netError("grown.wav: cannot be written: No space left on device")

    monkeypatch.setattr(GrowingFile, "append", full)
    status, _, err = mp3net("generate", "--stream", "--out", "grown.wav")
    assert (status, "No space left" in err, list(tmp_path.iterdir())) == (2, True, [])


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--stream"]])
def test_an_hour_takes_no_more_memory_than_ten_minutes(tmp_path, options):
    """Peak of the process, from a program that measures its child alone."""
    program = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, capture_output=True); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"
    )
    peaks = []
    for duration in ("10min", "1h"):
        command = [*COMMAND, "--duration", duration, "--force", "--out", "song.flac", *options]
        done = subprocess.run(
            [sys.executable, "-c", program, *command], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        peaks.append(float(done.stdout))
    assert soundfile.info(tmp_path / "song.flac").frames == 3600 * 11008
    assert peaks[1] < peaks[0] + 60, peaks
    assert peaks[1] < 300, peaks
