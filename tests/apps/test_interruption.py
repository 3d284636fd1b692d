"""Ctrl-C ends every command with one line and exit status 130, whatever it was doing."""

from __future__ import annotations

import importlib

import pytest

from mp3net.apps import train
from mp3net.training.trainer import Trainer
from tests.recordings import write_folder


@pytest.fixture
def interrupting(monkeypatch):
    """Makes a function act as if Ctrl-C were pressed in it."""

    def patch(place: object, name: str) -> None:
        def interrupted(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(place, name, interrupted)

    return patch


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "data", "--out", "r"], "interrupted before training began; the same command begins again\n"),
        (["prepare", "music", "--out", "data"], "interrupted\n"),
        (["generate"], "interrupted\n"),
        (["evaluate", "--out", "report"], "interrupted\n"),
        (["info"], "interrupted\n"),
    ],
)
def test_an_interrupted_command_says_so(mp3net, interrupting, arguments, message):
    interrupting(importlib.import_module(f"mp3net.apps.{arguments[0]}"), "run")
    assert mp3net(*arguments) == (130, "", message)


def test_an_interrupted_export_says_so(mp3net, interrupting):
    interrupting(importlib.import_module("mp3net.apps.prepare"), "to_parquet")
    assert mp3net("parquet", "data", "--out", "parquet") == (130, "", "interrupted\n")


def test_what_an_interrupted_training_leaves_is_said(mp3net, interrupting, tmp_path, monkeypatch):
    write_folder(tmp_path / "music")
    assert mp3net("prepare", "music", "--out", "data", "--preset", "nano-1.5s", "--workers", 1)[0] == 0
    command = ["train", "data", "--out", "r", "--device", "cpu", "--set", "run.evaluate_samples=0"]
    monkeypatch.setattr(train, "describe", lambda *_: "a plan")
    go_on = Trainer.run
    interrupting(Trainer, "run")
    status, out, _ = mp3net(*command, "--tracks", 16)
    assert (status, out.splitlines()[-1]) == (130, "interrupted; nothing was saved yet, the same command begins again")
    monkeypatch.setattr(Trainer, "run", go_on)
    assert mp3net(*command, "--tracks", 16)[0] == 0
    interrupting(Trainer, "run")
    status, out, _ = mp3net(*command, "--tracks", 64)
    assert (status, "what the last checkpoint holds is kept, the same command goes on" in out) == (130, True)
