"""Folders and files whose names hold brackets, colons and spaces: printed as they are, and quoted in printed commands."""

from __future__ import annotations

import io
import shlex
from pathlib import Path

import pytest
import soundfile

from mp3net.apps import evaluate
from mp3net.apps.console import plain_console
from mp3net.data.index import read_index
from mp3net.errors import Mp3netError
from tests.recordings import music, write_folder

ODD = "my [bold] :smile: music"


def command_after(word: str, out: str) -> list[str]:
    """The arguments of the command that was printed after `word`, as a shell would split them."""
    line = next(line.strip() for line in out.splitlines() if line.strip().startswith(word))
    return shlex.split(line.removeprefix(word).split("   ")[0])[1:]


def test_printed_commands_can_be_copied_and_names_are_not_markup(mp3net, tmp_path):
    write_folder(tmp_path / ODD)
    (tmp_path / ODD / "[red]a :heart:.txt").write_text("text")
    status, out, err = mp3net("train", ODD, "--preset", "nano-1.5s", "--out", "r")
    advice = f"{ODD}: holds no prepared dataset; make one with `mp3net prepare '{ODD}' --out 'data/{ODD}'`"
    assert (status, err) == (2, f"error: {advice}\n")
    status, out, _ = mp3net("prepare", ODD, "--out", f"data/{ODD}", "--preset", "nano-1.5s", "--workers", 1, "--dry-run")
    assert (status, "[red]a :heart:.txt" in out, f"in data/{ODD}: enough" in out) == (0, True, True)
    status, out, _ = mp3net("prepare", ODD, "--out", f"data/{ODD}", "--preset", "nano-1.5s", "--workers", 1)
    assert (status, "[red]a :heart:.txt" in out) == (0, True)
    assert f"dataset: 'data/{ODD}'   every file: 'data/{ODD}/report.csv', 'data/{ODD}/report.json'" in out
    train = command_after("next: ", out)
    assert train == ["train", f"data/{ODD}", "--out", f"runs/{ODD}"]
    status, out, err = mp3net(*train, "--tracks", 8, "--set", "run.evaluate_samples=0", "--device", "cpu")
    assert (status, f"preset nano-1.5s, for which data/{ODD} was prepared" in out) == (0, True), err
    assert mp3net(*command_after("listen: ", out))[0] == 0
    assert soundfile.info(f"{ODD}.wav").frames > 0
    again = command_after("reproduce: ", mp3net("info", f"runs/{ODD}")[1])
    assert again[:2] == ["train", str(tmp_path / "data" / ODD)]
    assert f"dataset data/{ODD}: " in mp3net("info", f"data/{ODD}")[1]
    status, _, err = mp3net("train", f"runs/{ODD}", "--out", f"runs/{ODD}")
    assert (status, command_after("to resume it: ", err.replace("; ", "\n"))) == (2, ["train", "--out", f"runs/{ODD}"])
    status, _, err = mp3net("generate", f"runs/{ODD}", "--out", f"{ODD}.wav")
    assert (status, err.startswith(f"error: {ODD}.wav: exists")) == (2, True)


def test_a_shard_names_its_folder(mp3net, tmp_path):
    (tmp_path / "music").mkdir()
    soundfile.write(tmp_path / "music" / "a.wav", music(2, 8000, 1), 8000)
    status, out, _ = mp3net("prepare", "music", "--out", ODD, "--shard", "1/1")
    assert (status, f"shard 1/1: decoded into '{ODD}'." in out) == (0, True)


def test_a_dataset_among_its_recordings_is_advised_against(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("data", ODD).mkdir(parents=True)
    with pytest.raises(Mp3netError, match=r"make one with `mp3net prepare FOLDER --out 'data/my \[bold\] :smile: music'`"):
        read_index(Path("data", ODD))


def test_bars_show_what_they_are_given(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    console = plain_console()
    console.file = io.StringIO()
    with evaluate._progress(console) as progress:
        progress(ODD, 1, 2)
    assert ODD in console.file.getvalue()
