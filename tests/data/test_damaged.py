"""What `prepare` does with recordings of which music is missing, and with those that mixing would silence."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import soundfile

from mp3net.apps import prepare as app
from mp3net.config import DataConfig
from mp3net.data.isolation import IsolatedPool
from mp3net.data.preparation import prepare
from mp3net.data.recordings import below
from mp3net.data.surveying import survey
from mp3net.errors import Mp3netError
from tests.audio.faults import damaged, encoded, halved
from tests.recordings import music

CONFIG = DataConfig(sample_rate_hz=8000, channels=1)


@pytest.fixture
def folder(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    (source / "whole.mp3").write_bytes(encoded("MP3", seed=1))
    (source / "half.wav").write_bytes(halved(encoded("WAV", seed=2)))
    (source / "hole.ogg").write_bytes(damaged(encoded("Opus", seed=3)))
    (source / "cut.mp3").write_bytes(halved(encoded("MP3 without a count", seed=4)))
    return source


def test_missing_music_is_told_with_place_and_reason(folder, tmp_path, capsys):
    out = tmp_path / "out"
    app.run(app.Request(out=out, settings={"sample_rate_hz": 8000, "channels": 1}, folder=folder, workers=1))
    printed = capsys.readouterr().out
    lines = [line for line in printed.splitlines() if line.startswith("missing music:")]
    assert lines[0].startswith("missing music: half.wav: 4.0 s of 8.0 s are missing: the file ends 4.0 s early (an unfin")
    assert any(line.startswith("missing music: cut.mp3: the file breaks off at 0:0") for line in lines)
    assert any(line.startswith("missing music: hole.ogg: ") and "damaged at 0:0" in line for line in lines)
    assert len(lines) == 3
    assert "--strict leaves them out" in printed
    assert "kept, but incomplete" in printed
    rows = {row["path"]: row for row in csv.DictReader((out / "report.csv").read_text(encoding="utf-8").splitlines())}
    assert all(row["status"] == "kept" for row in rows.values())
    assert float(rows["half.wav"]["missing_s"]) == pytest.approx(4, abs=0.01)
    assert rows["whole.mp3"]["damage"] == ""
    assert "half.wav: 4.0 s of 8.0 s are missing" in (out / "README.md").read_text(encoding="utf-8")


def test_strict_leaves_damaged_recordings_out(folder, tmp_path):
    report = prepare(below(folder), tmp_path / "out", DataConfig(sample_rate_hz=8000, channels=1, strict=True), 1)
    assert [file.path for file in report.kept] == ["whole.mp3"]
    assert all(file.reason.startswith("--strict: music is missing") for file in report.files if file.path != "whole.mp3")


def test_opposite_channels_are_not_called_silent(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    sound = music(3, 22050, 1)
    soundfile.write(source / "opposite.wav", np.concatenate([sound, -sound], axis=1) + 0.05, 22050, subtype="FLOAT")
    soundfile.write(source / "silent.wav", np.zeros((66150, 2)) + 0.05, 22050, subtype="FLOAT")
    with pytest.raises(Mp3netError, match="none of 2 files is usable"):
        prepare(below(source), tmp_path / "mono", CONFIG, 1)
    rows = csv.DictReader((tmp_path / "mono" / "report.csv").read_text(encoding="utf-8").splitlines())
    reasons = {row["path"]: row["reason"] for row in rows}
    assert reasons["opposite.wav"].startswith("silent in mono: left and right are opposite (in antiphase) and cancel")
    assert "--channels 2" in reasons["opposite.wav"]
    assert reasons["silent.wav"] == "silent: its peak is below -80 dBFS"
    report = prepare(below(source), tmp_path / "stereo", DataConfig(sample_rate_hz=8000), 1)
    assert [file.path for file in report.kept] == ["opposite.wav"]


def test_six_channels_are_kept_when_asked(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    soundfile.write(source / "x.wav", np.repeat(music(3, 22050, 1) / 4, 6, axis=1), 22050)
    with pytest.raises(Mp3netError, match="6 channels"):
        prepare(below(source), tmp_path / "no", CONFIG, 1)
    report = prepare(below(source), tmp_path / "yes", DataConfig(sample_rate_hz=8000, downmix=True), 1)
    assert [file.source_channels for file in report.kept] == [6]


def test_a_prediction_is_bounded_by_the_size_of_the_file(tmp_path):
    """A FLAC header may promise 24 million hours."""
    source = tmp_path / "in"
    source.mkdir()
    data = bytearray(encoded("FLAC"))
    data[21:26] = (int.from_bytes(data[21:26], "big") | (1 << 36) - 1).to_bytes(5, "big")
    (source / "absurd.flac").write_bytes(data)
    (source / "pipe.flac").write_bytes(encoded("FLAC")[:21] + bytes([data[21] & 0xF0, 0, 0, 0, 0]) + encoded("FLAC")[26:])
    with IsolatedPool(1) as pool:
        looked = survey(below(source), tmp_path / "out", CONFIG, pool)
    lengths = {file.path: file.duration_s for file in looked.files}
    assert lengths["pipe.flac"] == pytest.approx(8, rel=0.3)
    assert 8 < lengths["absurd.flac"] < 50
