"""New recordings in a finished dataset, and several processes at one dataset."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mp3net.apps import prepare as app
from mp3net.config import DataConfig
from mp3net.data import preparation
from mp3net.data import staging as staging_module
from mp3net.data.index import INDEX_FILE, STAGING, read_index
from mp3net.data.inventory import stored_reports
from mp3net.data.pieces import Piece
from mp3net.data.preparation import prepare
from mp3net.data.recordings import below, parse_shard
from mp3net.errors import Mp3netError
from tests.recordings import music, piece

CONFIG = DataConfig(sample_rate_hz=8000, channels=1, heldout_share=0.25)


def record(folder: Path, *seeds: int, seconds: float = 6.0) -> None:
    folder.mkdir(exist_ok=True)
    for seed in seeds:
        soundfile.write(folder / f"{seed}.flac", piece(seconds, 16000, seed), 16000)


def splits(out: Path) -> dict[str, str]:
    return {entry["source"]: entry["split"] for entry in read_index(out).entries}


def content(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.rglob("*.arrow")}


@pytest.fixture
def grown(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    record(source, *range(8))
    prepare(below(source), out, CONFIG, 1)
    return source, out


def test_only_new_recordings_are_decoded_and_the_old_stay_where_they_are(grown, monkeypatch):
    source, out = grown
    before, pieces = splits(out), content(out)
    stamps = {path.name: path.stat().st_mtime_ns for path in out.rglob("*.arrow")}
    record(source, *range(8, 16))
    (source / "0.flac").unlink()  # what is gone from the folder stays in the dataset
    report = prepare(below(source), out, CONFIG, 2)
    assert sorted(report.added) == sorted(f"{seed}.flac" for seed in range(8, 16))
    now = splits(out)
    assert {path: now[path] for path in before} == before
    assert len(now) == 16
    assert sum(split == "heldout" for split in now.values()) == 4
    assert {name: content(out)[name] for name in pieces} == pieces
    assert {path.name: path.stat().st_mtime_ns for path in out.rglob("*.arrow") if path.name in stamps} == stamps
    assert not (out / STAGING).exists()
    for entry in read_index(out).entries:
        assert Piece(out / entry["split"] / f"{entry['piece']}.arrow").num_samples == entry["num_samples"]


def test_nothing_new_changes_nothing(grown, capsys):
    source, out = grown
    index = (out / INDEX_FILE).read_bytes()
    settings = {"sample_rate_hz": 8000, "channels": 1, "heldout_share": 0.25}
    app.run(app.Request(out=out, settings=settings, folder=source, workers=1))
    assert capsys.readouterr().out.startswith(f"nothing to add: {out} holds 8 pieces, and {source} has nothing new to use")
    assert (out / INDEX_FILE).read_bytes() == index


def test_a_dry_run_says_what_is_there_what_is_new_and_what_is_too_short(grown, capsys):
    source, out = grown
    record(source, 8)
    record(source, 9, seconds=0.4)
    app.dry_run(below(source), out, CONFIG, 1)
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines() if "│" in line]
    assert ["readable header", "1", "6 s as their headers say"] in rows
    assert ["skipped: shorter than 1 s", "1", "9.flac"] in rows
    assert sum(row[1] == "8" for row in rows) == 1


def test_groups_keep_their_names_when_more_recordings_come(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    record(source, 1, 2, 3)
    sound, rate = soundfile.read(source / "1.flac")
    soundfile.write(source / "copy.wav", 0.5 * sound, rate)
    before = {file.path: file.group for file in prepare(below(source), out, CONFIG, 1).files}
    assert before["1.flac"] == before["copy.wav"] != ""
    record(source, 4)
    after = {file.path: file.group for file in prepare(below(source), out, CONFIG, 1).files}
    assert {path: after[path] for path in before} == before


def test_copies_of_what_is_there_are_not_added_and_relatives_join_their_split(grown):
    source, out = grown
    before = splits(out)
    for number, path in enumerate(sorted(source.glob("*.flac"))):
        sound, rate = soundfile.read(path)
        soundfile.write(source / f"copy-{number}.wav", np.concatenate([np.zeros(4000), 0.3 * sound, np.zeros(9000)]), rate)
    report = prepare(below(source), out, CONFIG, 1)
    assert report.added == []
    assert {file.path for file in report.files if file.status == "duplicate"} == {
        f"copy-{number}.wav" for number in range(8)
    }
    assert splits(out) == before


def test_an_interrupted_addition_leaves_the_finished_dataset_whole(grown, monkeypatch):
    source, out = grown
    before, pieces = (out / INDEX_FILE).read_bytes(), content(out)
    record(source, 8, 9)
    record(source, 3, seconds=7.0)  # another recording under an old name

    def stop(now):
        if now.done == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(below(source), out, CONFIG, 1, stop)
    assert (out / INDEX_FILE).read_bytes() == before
    assert {path.name: path.read_bytes() for split in ("train", "heldout") for path in (out / split).iterdir()} == pieces
    report = prepare(below(source), out, CONFIG, 1)
    assert sorted(report.added) == ["3.flac", "8.flac", "9.flac"]
    longer = next(entry for entry in read_index(out).entries if entry["source"] == "3.flac")
    assert longer["num_samples"] > 6.3 * 8000
    assert (out / longer["split"] / f"{longer['piece']}.arrow").stat().st_size == longer["size_bytes"]


def test_a_stop_between_the_reports_and_the_index_loses_no_recording(grown, monkeypatch):
    """The reports then name recordings that the index does not have: they must not be taken for added."""
    source, out = grown
    record(source, 8, 9)
    record(source, 3, seconds=7.0)
    with monkeypatch.context() as patch:
        patch.setattr(preparation, "INDEX_FILE", "absent/dataset.json")
        with pytest.raises(Mp3netError, match="cannot be written"):
            _finish_later(source, out, patch)
    report = prepare(below(source), out, CONFIG, 1)
    assert sorted(report.added) == ["3.flac", "8.flac", "9.flac"]
    for entry in read_index(out).entries:
        assert (out / entry["split"] / f"{entry['piece']}.arrow").stat().st_size == entry["size_bytes"]


def _finish_later(source: Path, out: Path, patch: pytest.MonkeyPatch) -> None:
    """Prepare, but fail in writing the index; the finished dataset is read under its own name."""
    finished = preparation._Finished(
        {file.path: file for file in stored_reports(out)},
        splits_by_piece(out),
        {entry["piece"]: entry["size_bytes"] for entry in read_index(out).entries},
    )
    patch.setattr(preparation, "_read_finished", lambda out: finished)
    prepare(below(source), out, CONFIG, 1)


def splits_by_piece(out: Path) -> dict[str, str]:
    return {entry["piece"]: entry["split"] for entry in read_index(out).entries}


def test_a_report_of_another_dataset_is_refused_before_anything_is_deleted(grown):
    source, out = grown
    pieces = content(out)
    reports = json.loads((out / "report.json").read_text())
    reports["files"] = reports["files"][1:]
    (out / "report.json").write_text(json.dumps(reports))
    with pytest.raises(Mp3netError, match=r"report.json: does not have the piece 0-.* of .*dataset.json; restore"):
        prepare(below(source), out, CONFIG, 1)
    assert content(out) == pieces


def test_a_recording_that_was_spoilt_since_stays_as_it_was(grown):
    source, out = grown
    pieces = content(out)
    (source / "3.flac").write_bytes(b"not music")
    record(source, 8)
    report = prepare(below(source), out, CONFIG, 1)
    spoilt = next(file for file in report.files if file.path == "3.flac")
    assert spoilt.reason == "as it was; the file has changed since and cannot be used: not audio"
    assert {name: content(out)[name] for name in pieces} == pieces


def command(source: Path, out: Path, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "mp3net", "prepare", str(source), "--out", str(out), "--sample-rate", "8000", "--channels", "1",
        "--workers", "1", *more,
    ]  # fmt: skip


def started(process: subprocess.Popen[str], out: Path) -> None:
    """Wait until it holds its lock and decodes."""
    while not list((out / STAGING).glob("*.json")):
        assert process.poll() is None
        time.sleep(0.01)


@pytest.fixture
def long_folder(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    sound = np.tile(music(60, 8000, 1, 1), (5, 1))
    for number in range(12):
        soundfile.write(source / f"{number}.wav", np.roll(sound, 997 * number, 0) + 0.01 * number, 8000)
    return source


@pytest.mark.slow
def test_two_preparations_of_one_dataset_do_not_harm_each_other(long_folder, tmp_path):
    out = tmp_path / "out"
    first = subprocess.Popen(command(long_folder, out, "--keep-duplicates"), stdout=subprocess.PIPE, text=True)
    started(first, out)
    first.send_signal(signal.SIGSTOP)  # or a fast machine is done before the others have begun
    try:
        again = command(long_folder, out, "--keep-duplicates")
        second = subprocess.run(again, capture_output=True, text=True)
        shard = subprocess.run([*again, "--shard", "1/2"], capture_output=True, text=True)
    finally:
        first.send_signal(signal.SIGCONT)
        first.communicate()
    assert second.returncode == 2
    assert f"mp3net prepare (process {first.pid} on " in second.stderr
    assert shard.returncode == 2
    assert "is at work there" in shard.stderr
    assert first.returncode == 0
    assert len(content(out)) == len(read_index(out).entries) == 12


def test_sigterm_ends_as_ctrl_c_does(long_folder, tmp_path):
    out = tmp_path / "out"
    process = subprocess.Popen(command(long_folder, out), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    started(process, out)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "interrupted; the same command goes on where this one stopped" in said.splitlines()


def test_shards_run_side_by_side_but_not_beside_another_division(tmp_path):
    record(tmp_path / "in", 1, 2, 3)
    out, recordings = tmp_path / "out", below(tmp_path / "in")
    staging_module.Lock.acquire.__defaults__ = (0.2,)
    try:
        with staging_module.lock(out, parse_shard("1/2")):
            prepare(recordings, out, CONFIG, 1, shard=parse_shard("2/2"))
            for other in (parse_shard("1/2"), parse_shard("1/3"), parse_shard("2/12"), None):
                with pytest.raises(Mp3netError, match=r"mp3net prepare --shard 1/2 \(process \d+ on"):
                    prepare(recordings, out, CONFIG, 1, shard=other)
    finally:
        staging_module.Lock.acquire.__defaults__ = (3.0,)
    assert len(prepare(recordings, out, CONFIG, 1).kept) == 3
