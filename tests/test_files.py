"""Files and folders written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from mp3net.files import replacing, write_text


def write_half(path: Path) -> None:
    with replacing(path) as unfinished:
        unfinished.write_text("half")
        raise RuntimeError("stopped")


def test_what_was_there_stays_until_the_end(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with replacing(path) as unfinished:
        unfinished.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    with pytest.raises(RuntimeError, match="stopped"):
        write_half(path)
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path], "nothing is left"


def test_folders_and_what_a_killed_process_left(tmp_path):
    path = tmp_path / "folder"
    with replacing(path) as unfinished:
        unfinished.mkdir()
        (unfinished / "old").touch()
    left = tmp_path / ".again.partial"
    left.mkdir()
    (left / "half").touch()
    with replacing(tmp_path / "again") as unfinished:
        assert unfinished == left
        assert not unfinished.exists()
        unfinished.mkdir()
    assert [item.name for item in path.iterdir()] == ["old"]
    assert list((tmp_path / "again").iterdir()) == []
    with pytest.raises(OSError, match="not empty"), replacing(path) as unfinished:
        unfinished.mkdir()
    assert {item.name for item in tmp_path.iterdir()} == {"folder", "again"}


def test_several_writers_do_not_meet(tmp_path):
    path = tmp_path / "a.txt"
    with replacing(path, shared=True) as mine, replacing(path) as other:
        assert mine != other
        mine.write_text("mine")
        other.write_text("other")
    assert path.read_text() == "mine"
