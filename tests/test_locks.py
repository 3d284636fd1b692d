from __future__ import annotations

import errno
import os
import subprocess
import sys

import filelock
import pytest

from mp3net.errors import Mp3netError
from mp3net.locks import LOCK_FILE, Lock

HOLD = """
import sys, time
from pathlib import Path
from mp3net.locks import Lock
lock = Lock(Path(sys.argv[1]), "mp3net prepare").acquire()
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_the_second_comer_is_told_who_is_at_work(tmp_path, holder):
    with pytest.raises(
        Mp3netError, match=rf"{tmp_path}: mp3net prepare \(process {holder.pid} on .*, since \d{{4}}-.*stop it"
    ):
        Lock(tmp_path, "mp3net train").acquire(0.1)


def test_a_killed_process_holds_nothing(tmp_path, holder):
    holder.kill()
    holder.wait()
    with (
        Lock(tmp_path, "mp3net train").acquire(0.1),
        pytest.raises(Mp3netError, match=f"mp3net train .process {os.getpid()}"),
    ):
        Lock(tmp_path, "mp3net evaluate").acquire(0.1)
    Lock(tmp_path, "mp3net evaluate").acquire(0.1).release()
    assert {path.name for path in tmp_path.iterdir()} == {LOCK_FILE}


@pytest.mark.parametrize("missing", [errno.ENOLCK, errno.ENOSYS])
def test_a_file_system_without_locks_gets_a_marker_and_that_is_said(tmp_path, monkeypatch, capsys, missing):
    import fcntl

    def refuse(*_: object) -> None:
        raise OSError(missing, os.strerror(missing))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with Lock(tmp_path, "mp3net prepare").acquire(0.1):
        assert "cannot lock files; the marker file" in capsys.readouterr().err
        with pytest.raises(Mp3netError, match="mp3net prepare .process"):
            Lock(tmp_path, "mp3net train").acquire(0.3)
    Lock(tmp_path, "mp3net train").acquire(0.1).release()


def test_other_errors_are_not_taken_for_missing_locks(tmp_path, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(filelock.FileLock, "acquire", full)
    with pytest.raises(OSError, match="No space"):
        Lock(tmp_path, "mp3net train").acquire(0.1)
