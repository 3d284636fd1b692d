"""Files and folders written whole or not at all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mp3net.errors import Mp3netError
from mp3net.files import read_json, replacing, write_text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read as JSON: it is empty"),
        (b" \n", "cannot be read as JSON: it is empty"),
        (b'{"a": 1,\n b}', "cannot be read as JSON: line 2, column 2: expecting property name enclosed in double quotes"),
        (b"\xff\xfe", "cannot be read as JSON: it is not text in UTF-8"),
        (b"[" * 100_000, "cannot be read as JSON: maximum recursion depth exceeded"),
        (b"1" * 5000, "cannot be read as JSON: Exceeds the limit"),
    ],
)
def test_what_is_no_json_is_said_plainly(tmp_path, content, message):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(Mp3netError, match=f"^{re.escape(f'{path}: {message}')}"):
        read_json(path)


def test_files_that_cannot_be_read_are_named_without_numbers(tmp_path, monkeypatch):
    with pytest.raises(Mp3netError, match=r"a\.json: no such file$"):
        read_json(tmp_path / "a.json")
    with pytest.raises(Mp3netError, match=r": is a folder, not a file$"):
        read_json(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(Mp3netError, match=r"file/a.json: cannot be read: Not a directory$"):
        read_json(tmp_path / "file" / "a.json")

    def refused(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refused)  # root may read everything
    with pytest.raises(Mp3netError, match=r"file: may not be read; change its permissions$"):
        read_json(tmp_path / "file")


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
