"""Where `mp3net generate` writes: endings that mean a format, and standard output."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from mp3net.apps.targets import plan_targets
from mp3net.errors import Mp3netError
from mp3net.generation import MP3net, SongSettings

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
