"""`mp3net evaluate` as a user meets it."""

from __future__ import annotations

import json

import soundfile

from tests.evaluation.conftest import RATE, SECONDS
from tests.recordings import piece


def test_snapshot_and_folder(mp3net, dataset, judged_folder, untrained, tmp_path):
    light = ["--data", dataset, "--samples", 40, "--measures", "spectrum,logmel", "--cache", tmp_path / "cache"]
    status, out, _ = mp3net("evaluate", untrained, "--out", "report", *light)
    assert status == 0
    assert "octave_flatness" in out
    assert "40 clips of 1.48 s, 11008 Hz, mono, against 40 clips" in out
    assert "not told from real in" in out
    assert "place on the ladder" in out
    assert "report/report.html" in out
    data = json.loads((tmp_path / "report" / "report.json").read_text())
    assert data["candidate"]["kind"] == "snapshot"
    status, _, error = mp3net("evaluate", untrained, "--out", "report", *light)
    assert status == 2
    assert "holds a report; add --force to replace it" in error
    status, out, _ = mp3net("evaluate", "--audio", judged_folder, "--seconds", SECONDS, "--out", "other", *light)
    assert status == 0
    assert "other/report.html" in out
    assert json.loads((tmp_path / "other" / "report.json").read_text())["candidate"]["kind"] == "audio folder"


def test_errors_come_before_the_work(mp3net, dataset, untrained, tmp_path):
    common = ["--out", "report", "--data"]
    for arguments, message in (
        (["evaluate", ".", "--audio", ".", *common, dataset], "give a snapshot or --audio, not both"),
        (
            ["evaluate", *common, tmp_path / "nowhere"],
            "no such folder; if you have no dataset yet, make one with `mp3net prepare FOLDER",
        ),
        (["evaluate", "no-snapshot", *common, dataset], "no such folder"),
        (["evaluate", *common, dataset, "--measures", "taste"], "unknown measures taste; the measures are: spectrum"),
        (["evaluate", untrained, *common, dataset, "--seconds", "5"], "one length, here 1.48 s"),
        (["evaluate", untrained, *common, dataset, "--seconds", "1000"], "one length, here 1.48 s"),
        (["evaluate", *common, dataset, "--measures", ","], "--measures is empty"),
        (["evaluate", *common, dataset, "--match-level"], "--match-level is for --audio"),
        (["evaluate", "--data", dataset, "--out", "/proc/x"], "--out /proc/x: cannot be written"),
        (["evaluate", *common, dataset, "--precision", "int8"], "choose one of float32, bfloat16"),
    ):
        status, _, error = mp3net(*arguments)
        assert status == 2, arguments
        assert message in error, error
        assert error.count("\n") == 1
    assert not (tmp_path / "report").exists()
    status, _, _ = mp3net("evaluate", *common, dataset, "--samples", 8)
    assert status == 2


def test_nan_audio_is_named(mp3net, dataset, tmp_path):
    sound = piece(4.0, RATE, 0)
    sound[5] = float("nan")
    (tmp_path / "bad").mkdir()
    soundfile.write(tmp_path / "bad" / "x.wav", sound, RATE, subtype="FLOAT")
    status, _, error = mp3net("evaluate", "--audio", "bad", "--data", dataset, "--out", "report")
    assert status == 2
    assert "x.wav: holds non-finite samples" in error
