"""Bad input: every file ends up in the report, whatever it does to its decoder; a full disk loses nothing."""

from __future__ import annotations

import csv
import ctypes
import json
import os
import shutil
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
from mp3net.data import isolation
from mp3net.data.index import INDEX_FILE, STAGING, read_index
from mp3net.data.isolation import IsolatedPool
from mp3net.data.preparation import prepare
from mp3net.data.recordings import below
from mp3net.data.surveying import survey
from mp3net.errors import Mp3netError
from tests.data.hostile import write_hostile
from tests.recordings import music, write_folder

CONFIG = DataConfig(sample_rate_hz=8000, channels=1, min_duration_s=0.5)


def test_five_hundred_hostile_files(tmp_path, capsys):
    source, out = tmp_path / "in", tmp_path / "out"
    kept = write_hostile(source, 500)
    recordings = below(source)
    assert len(recordings.paths) == 500 - 3, "pipe and folders are no files"
    started = time.monotonic()
    report = prepare(recordings, out, CONFIG, 2)
    assert time.monotonic() - started < 120
    assert [file.path for file in report.files] == [*recordings.paths, *recordings.unread]
    assert set(recordings.unread) == {"pipe.wav", "folder loop"}
    assert all(file.reason for file in report.files if file.status != "kept")
    status = {os.fsencode(file.path): file.status for file in report.files}
    assert all(status[name] == "kept" for name in kept)
    assert status[b"eight.wav"] == status[b"loop"] == status[b"dangling.flac"] == status[b"empty.mp3"] == "skipped"
    assert sum(file.status == "skipped" for file in report.files) > 200
    assert not any("Traceback" in file.reason or "crashed" in file.reason for file in report.files)
    pieces = read_index(out).entries
    assert {path.stem for path in out.rglob("*.arrow")} == {piece["piece"] for piece in pieces}
    assert len(json.loads((out / "report.json").read_text())["files"]) == 499
    assert len(list(csv.DictReader((out / "report.csv").read_text(encoding="utf-8").splitlines()))) == 499
    app.Console(width=80).print(app._table(report), markup=False)
    assert "kept for training" in capsys.readouterr().out


def misbehave(path: Path) -> str:
    what = path.suffix
    if what == ".crash":
        ctypes.string_at(0)
    if what == ".abort":
        os.abort()
    if what in (".killed", ".killed_once"):  # as the system does when memory runs out
        first = path.read_text() == "fine"
        path.write_text("tried")
        if first or what == ".killed":
            os.kill(os.getpid(), signal.SIGKILL)
    if what == ".loop":
        while True:
            pass
    if what == ".flood":
        return str(len(np.ones(1 << 29)))  # 4 GiB
    return path.read_text()


@pytest.mark.slow
def test_what_a_decoder_may_do_costs_one_file(tmp_path, monkeypatch):
    monkeypatch.setattr(isolation, "BASE_TIMEOUT_S", 6.0)  # a fresh process imports this file within it
    paths = []
    for number in range(24):
        kind = [".good", ".crash", ".good", ".abort", ".good", ".flood"][number % 6]
        paths.append(tmp_path / f"{number}{kind}")
    paths += [tmp_path / "x.loop", tmp_path / "x.killed", tmp_path / "x.killed_once"]
    for path in paths:
        path.write_text("fine")
    with IsolatedPool(2) as pool:
        found = dict(pool(misbehave, lambda path, reason: reason, iter(paths)))
    assert found.keys() == set(paths)
    expected = {
        ".good": "fine", ".crash": "its decoder crashed (exit code -11)", ".abort": "its decoder crashed (exit code -6)",
        ".flood": "needs more memory to decode than 2 GiB, or than it was allowed", ".loop": "took longer than 6 s to decode",
        ".killed": "the system killed its decoder twice (signal 9), also with no other beside it: out of memory?",
        ".killed_once": "tried",
    }  # fmt: skip
    assert {path: expected[path.suffix] for path in paths} == found


@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited on Linux alone")
def test_a_limit_that_a_batch_system_has_set_is_not_raised(tmp_path):
    """Raising it is forbidden, and whoever tries is refused: every worker ended at once."""
    import resource

    limit_bytes = 1 << 40
    write_folder(tmp_path / "in")
    arguments = [
        sys.executable, "-m", "mp3net", "prepare", str(tmp_path / "in"), "--out", str(tmp_path / "out"),
        "--sample-rate", "8000", "--channels", "1", "--workers", "1",
    ]  # fmt: skip
    ended = subprocess.run(
        arguments,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes)),
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "out" / INDEX_FILE).exists()


def test_processes_that_cannot_start_are_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(isolation, "_set_up_worker", os.abort)
    with pytest.raises(Mp3netError, match=r"decode end as soon as they start.*ulimit"), IsolatedPool(1) as pool:
        dict(pool(misbehave, lambda path, reason: reason, [tmp_path]))


def test_a_preparation_that_is_killed_leaves_no_workers_and_goes_on(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for number in range(30):
        soundfile.write(source / f"{number}.flac", music(20, 8000, 1, number), 8000)
    arguments = [
        sys.executable, "-m", "mp3net", "prepare", str(source), "--out", str(out), "--sample-rate", "8000", "--channels", "1",
        "--workers", "2",
    ]  # fmt: skip
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
    while len(list((out / STAGING).glob("*.json"))) < 4:
        assert process.poll() is None
        time.sleep(0.005)
    process.kill()
    process.wait()
    done = {path.name: path.stat().st_mtime_ns for path in (out / STAGING).glob("[!.]*.arrow")}
    deadline = time.monotonic() + 20
    while workers_of(out) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not workers_of(out)
    finished = subprocess.run(arguments, capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr
    now = {path.name: path.stat().st_mtime_ns for path in out.rglob("*.arrow")}
    assert len(now) == 30
    kept = sum(now[name] == stamp for name, stamp in done.items())
    assert kept >= len(done) - 2, "at most the files at work are decoded again"
    assert not [path for path in out.rglob("*") if "partial" in path.name]


def workers_of(out: Path) -> list[str]:
    """Processes that hold something open below `out`, or wait for work of a parent that is gone."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            parent = int(status.read_text().split("PPid:")[1].split()[0])
            line = (status.parent / "cmdline").read_bytes()
        except (OSError, IndexError):
            continue
        if parent == 1 and b"multiprocessing" in line and b"spawn_main" in line:
            found.append(str(status))
    return found


def small_disk(folder: Path, megabytes: int) -> None:
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip("a small disk needs the right to mount one")


def test_a_full_disk_is_an_error_and_the_same_command_goes_on(tmp_path, monkeypatch):
    source, disk = tmp_path / "in", tmp_path / "disk"
    source.mkdir()
    for number in range(6):
        soundfile.write(source / f"{number}.wav", music(60, 8000, 1, number), 8000)
    small_disk(disk, 4)
    try:
        with pytest.raises(Mp3netError, match=r"has 0.00 GB free, but 0.01 GB are needed for 0.1 h of audio"):
            prepare(below(source), disk / "out", CONFIG, 2)
        assert not list(disk.rglob("*.arrow"))
        # Something else fills the disk in the middle: what was predicted does not help.
        monkeypatch.setattr("mp3net.data.surveying.shutil.disk_usage", lambda path: shutil._ntuple_diskusage(1, 0, 2**40))
        with pytest.raises(Mp3netError, match=r"cannot be written: .*No space left.*same command goes on"):
            prepare(below(source), disk / "out", CONFIG, 1)
        assert not (disk / "out" / INDEX_FILE).exists()
        done = list((disk / "out" / STAGING).glob("[!.]*.arrow"))
        assert 1 <= len(done) < 6
        subprocess.run(["mount", "-o", "remount,size=40m", str(disk)], check=True)
        stamps = {path.name: path.stat().st_mtime_ns for path in done}
        prepare(below(source), disk / "out", CONFIG, 1)
        now = {path.name: path.stat().st_mtime_ns for path in (disk / "out").rglob("*.arrow")}
        assert len(now) == 6
        assert sum(now[name] == stamp for name, stamp in stamps.items()) >= len(done) - 1
        prepare(below(source), tmp_path / "whole", CONFIG, 2)
        for path in (tmp_path / "whole").rglob("*.arrow"):
            assert path.read_bytes() == (disk / "out" / path.relative_to(tmp_path / "whole")).read_bytes()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_dry_run_predicts_the_disk_need_and_writes_nothing(tmp_path, capsys):
    source, out = tmp_path / "in", tmp_path / "out"
    write_folder(source, 20.0)
    (source / "notes.txt").write_text("x")
    app.dry_run(below(source), out, CONFIG, 2)
    text = capsys.readouterr().out
    assert "as their headers say" in text
    assert "skipped: not audio" in text
    assert "Nothing was written" in text
    assert not out.exists()
    with IsolatedPool(1) as pool:
        looked = survey(below(source), out, CONFIG, pool)
    report = prepare(below(source), out, CONFIG, 2)
    assert report.size_bytes < looked.need_bytes < 1.15 * report.size_bytes + 50_000


def test_memory_does_not_grow_with_the_length(tmp_path):
    """Many times the recording, hardly more memory: half an hour here, ten hours in benchmarks/preparation.py."""
    sound = np.tile(music(30, 22016, 2, 1), (4, 1))
    peaks = []
    for minutes in (4, 30):
        path = tmp_path / f"{minutes}.flac"
        with soundfile.SoundFile(path, "w", 22016, 2, format="FLAC") as file:
            for _ in range(minutes // 2):
                file.write(sound)
        script = f"""
from pathlib import Path
from mp3net.config import DataConfig
from mp3net.data.writing import write_piece
# Not getrusage: its peak is inherited from the process that starts this one.
peak = lambda: int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
before = peak()
write_piece(Path({str(path)!r}), Path({str(tmp_path / "x.arrow")!r}), "x", DataConfig())
print(peak() - before)
"""
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout) * 1024 / 2**20)
    assert peaks[1] < peaks[0] + 96, peaks
    assert peaks[1] < 250, peaks
