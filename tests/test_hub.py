"""Models for the Hugging Face hub, and from it: a local server speaks its protocol."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mp3net import MP3net
from mp3net.errors import Mp3netError
from mp3net.export.hub import export_hub
from mp3net.generation.places import BUNDLED, place

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """The questions that a download asks: what is in a repository, and each of its files."""

    folder: Path
    asked: list[str]

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        self.asked.append(self.path)
        path = self.path.split("?")[0]
        files = sorted(file for file in self.folder.rglob("*") if file.is_file())
        if path.startswith("/api/models/anna/piano/tree/"):
            self._send(json.dumps([self._entry(file) for file in files]).encode(), body)
        elif path.startswith("/api/models/anna/piano"):
            names = [{"rfilename": str(file.relative_to(self.folder))} for file in files]
            self._send(json.dumps({"id": "anna/piano", "sha": COMMIT, "siblings": names}).encode(), body)
        elif path.startswith("/anna/piano/resolve/") and (file := self.folder / path.split("/", 5)[5]).is_file():
            self._send(file.read_bytes(), body)
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def _entry(self, file: Path) -> dict[str, object]:
        content = file.read_bytes()
        oid = hashlib.sha256(content).hexdigest()[:40]
        return {"type": "file", "path": str(file.relative_to(self.folder)), "size": len(content), "oid": oid}

    def _send(self, content: bytes, body: bool) -> None:
        self.send_response(200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)


@pytest.fixture
def hub(tmp_path, untrained, monkeypatch):
    """A hub with one model, anna/piano; the environment of a fresh process that uses it."""
    export_hub(MP3net.from_pretrained(untrained), tmp_path / "piano")
    handler = type("Handler", (Hub,), {"folder": tmp_path / "piano", "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name, value in {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(tmp_path / "cache"),
        "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    yield handler
    server.shutdown()
    server.server_close()


def generate(name: str, *options: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: huggingface_hub reads its environment when it is imported."""
    return subprocess.run([sys.executable, "-m", "mp3net", "generate", name, *options], capture_output=True, text=True)


def test_a_model_comes_from_the_hub_by_its_name(hub, tmp_path, untrained):
    for number, name in enumerate(("anna/piano", "hf://anna/piano", "anna/piano@main")):
        done = generate(name, "--seed", "5", "--out", f"{number}.wav")
        assert done.returncode == 0, done.stderr
        song, expected = soundfile.read(f"{number}.wav")[0], MP3net.from_pretrained(untrained).generate(5).audio[0]
        np.testing.assert_allclose(song, expected, atol=2**-14)
    assert not any(path.endswith((".ogg", "README.md")) for path in hub.asked), "what songs do not need stays there"
    assert sum("generator.safetensors" in path for path in hub.asked) <= 2 * 3
    done = subprocess.run(
        [sys.executable, "-c", "import os; os.environ['HF_HUB_OFFLINE'] = '1'\nfrom mp3net import MP3net; MP3net.from_pretrained('anna/piano')"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, f"what was fetched once is there without the hub: {done.stderr}"


def test_what_the_hub_does_not_have(hub):
    done = generate("anna/violin")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith("error: anna/violin: no such folder; the Hugging Face hub has no such model either")


def test_a_hub_that_is_out_of_reach(hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    done = generate("anna/piano")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "anna/piano: no such folder; and the Hugging Face hub cannot be reached" in done.stderr


def test_folders_come_first_and_mistyped_paths_stay_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mp3net.generation.places.fetched", lambda *asked: pytest.fail(f"asked the hub for {asked}"))
    (tmp_path / "runs" / "a").mkdir(parents=True)
    for name in ("runs/a", "runs/typo", "../x/y", "/a/b", "nowhere"):
        assert place(name) == Path(name)
    assert place(None) == place("bundled") == BUNDLED
    monkeypatch.setattr("mp3net.generation.places.fetched", lambda *asked: asked)
    assert place("hf://runs/a@v1") == ("runs/a", "v1")
    assert place(Path("hf://anna/piano")) == ("anna/piano", None)


def test_the_card_says_what_a_user_must_know(mp3net, tmp_path):
    status, out, _ = mp3net("export", "--format", "hub", "--out", "chorales")
    assert status == 0
    assert {line.split("/")[-1] for line in out.splitlines()[:-1]} == {
        "README.md", "config.json", "discriminator.safetensors", "generator.safetensors", "seed-1.ogg", "seed-2.ogg", "seed-3.ogg",
        "sliders.json",
    }  # fmt: skip
    card = (tmp_path / "chorales" / "README.md").read_text()
    metadata = MP3net.from_pretrained().snapshot.metadata
    assert card.startswith("---\nlicense: mit\nlibrary_name: mp3net\n")
    for text in (
        metadata["data"],
        metadata["licence"],
        metadata["recipe"],
        "11008 Hz mono",
        "sounds/seed-1.ogg",
        "of any length",
    ):
        assert text in card
    assert np.array_equal(MP3net.from_pretrained("chorales").generate(3).audio, MP3net.from_pretrained().generate(3).audio)
    status, _, err = mp3net("export", "--format", "hub", "--out", "chorales")
    assert (status, "chorales: is not empty; name a new folder" in err) == (2, True)


def test_readings_of_a_report_go_into_the_card(mp3net, tmp_path):
    score = {"value": {"value": 3.4, "low": 3.0, "high": 3.8}}
    found = {"meaning": "Kernel distance", "unit": "", "place": "like vocoded", "floor": score} | score
    digest = MP3net.from_pretrained().snapshot.digest
    for name, weights in (("mine", digest), ("other", "123456789abc")):
        report = {"candidate": {"weights": weights}, "metrics": {"kernel_logmel": found}}
        (tmp_path / f"{name}.json").write_text(json.dumps(report))
    assert mp3net("export", "--format", "hub", "--report", "mine.json")[0] == 0
    assert (
        "| Kernel distance (`kernel_logmel`) | 3.4 (3 to 3.8) | 3.4 (3 to 3.8) |  | like vocoded |"
        in (tmp_path / "hub" / "README.md").read_text()
    )
    (tmp_path / "none.json").write_text("[]")
    for name, message in (
        ("other", "judges the weights 123456789abc"),
        ("none", "is no report of `mp3net evaluate`"),
        ("absent", "no such file"),
    ):
        status, _, err = mp3net("export", "--format", "hub", "--out", "new", "--report", f"{name}.json")
        assert (status, message in err, (tmp_path / "new").exists()) == (2, True, False)


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(Mp3netError, match=r"pip install 'mp3net\[hub\]'"):
        place("hf://anna/piano")
