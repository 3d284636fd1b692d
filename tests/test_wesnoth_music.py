"""examples/wesnoth_music/fetch.py, on a package made here: what it unpacks, and what it refuses."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

FILE = Path(__file__).parents[1] / "examples" / "wesnoth_music" / "fetch.py"


@pytest.fixture
def fetch(monkeypatch):
    specification = importlib.util.spec_from_file_location("fetch", FILE)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def package(path: Path, files: dict[str, bytes]) -> Path:
    """A .deb: an `ar` archive of control.tar.xz, of odd size, and data.tar.xz."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:xz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    members = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", "data.tar.xz": data.getvalue()}
    made = b"!<arch>\n"
    for name, content in members.items():
        made += (
            f"{name:16}{0:<12}{0:<6}{0:<6}{'100644':8}{len(content):<10}`\n".encode() + content + b"\n" * (len(content) % 2)
        )
    path.write_bytes(made)
    return path


@pytest.fixture
def whole(fetch, tmp_path, monkeypatch):
    sound = io.BytesIO()
    soundfile.write(sound, np.zeros((44100 * 2, 2)), 44100, format="OGG", subtype="VORBIS")
    files = {fetch.MUSIC + name: sound.getvalue() for name in (*fetch.COMPOSERS, "return_to_wesnoth.ogg")}
    made = package(tmp_path / "music.deb", {**files, fetch.COPYRIGHT: b"License: GPL-2+"})
    monkeypatch.setattr(fetch, "SHA256", hashlib.sha256(made.read_bytes()).hexdigest())
    return made


def run(fetch, monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["fetch.py", *map(str, arguments)])
    return fetch.main()


def test_unpacks_the_pieces_and_their_licence(fetch, whole, tmp_path, monkeypatch, capsys):
    out = tmp_path / "music"
    assert run(fetch, monkeypatch, "--out", out, "--deb", whole) == 0
    assert {path.name for path in out.iterdir()} == {*fetch.COMPOSERS, "LICENCE.txt"}
    assert len(fetch.COMPOSERS) == 34
    licence = (out / "LICENCE.txt").read_text()
    assert "knolls.ogg                  Timothy Pinkham" in licence
    assert licence.endswith("License: GPL-2+")
    assert "34 pieces, 0.02 hours" in capsys.readouterr().out
    whole.unlink()
    assert run(fetch, monkeypatch, "--out", out) == 0  # a complete folder needs no package
    (out / "sad.ogg").unlink()
    assert run(fetch, monkeypatch, "--out", out, "--deb", whole) == 1
    assert "music.deb" in capsys.readouterr().err


@pytest.mark.parametrize("fault", ["cut", "foreign", "incomplete"])
def test_refuses_another_package(fetch, whole, tmp_path, monkeypatch, capsys, fault):
    if fault == "cut":
        whole.write_bytes(whole.read_bytes()[:-100])
    elif fault == "foreign":
        whole.write_bytes(b"not a package")
        monkeypatch.setattr(fetch, "SHA256", hashlib.sha256(b"not a package").hexdigest())
    else:
        package(whole, {fetch.MUSIC + "sad.ogg": b""})
        monkeypatch.setattr(fetch, "SHA256", hashlib.sha256(whole.read_bytes()).hexdigest())
    assert run(fetch, monkeypatch, "--out", tmp_path / "music", "--deb", whole) == 1
    told = {"cut": "cut off or another version", "foreign": "is not a Debian package", "incomplete": "lacks battle-epic.ogg"}
    assert told[fault] in capsys.readouterr().err
    assert not (tmp_path / "music" / "LICENCE.txt").exists()
