"""`mp3net studio`: what it serves, to whom, and how it ends."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from mp3net.studio import serving


def get(address: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(address, timeout=20) as answer:
            return answer.status, answer.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        return error.code, ""


def test_serves_this_machine_until_it_is_told_to_end(tmp_path):
    (tmp_path / "secret.txt").write_text("secret")
    command = [sys.executable, "-m", "mp3net", "studio", "--no-browser"]
    heeding = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **heeding
    ) as process:
        line = process.stdout.readline()
        try:
            assert line.startswith("studio: http://127.0.0.1:"), process.stderr.read()
            address = line.split()[1]
            status, page = get(address)
            assert (status, "mp3net studio" in page) == (200, True)
            for place in (
                f"gradio_api/file={tmp_path}/secret.txt", "gradio_api/file=secret.txt", "gradio_api/file=/etc/passwd",
                "studio/reports/secret.txt", "studio/songs/secret.txt", "openapi.json", "docs",
            ):  # fmt: skip
                status, body = get(address + place)
                assert status in (403, 404), place
                assert "secret" not in body
        finally:
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "the studio is closed\n", "")


def test_what_cannot_be_served_is_said_first(mp3net, tmp_path):
    status, _, err = mp3net("studio", "nothing", "--no-browser")
    assert (status, "nothing" in err, err.count("\n")) == (2, True, 1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, _, err = mp3net("studio", "--no-browser", "--port", port)
    assert (status, err) == (2, f"error: --port {port}: is taken; name another, or leave it out\n")


def test_gradio_is_named_where_it_is_missing(mp3net, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    status, _, err = mp3net("studio", "--no-browser")
    assert (status, err.startswith("error: the studio needs Gradio: "), "mp3net[studio]" in err) == (2, True, True)


def test_ports_that_are_taken_are_passed_over(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(serving, "FIRST_PORT", port)
        assert serving.free_port() > port
        monkeypatch.setattr(serving, "PORTS", 1)
        with pytest.raises(serving.Mp3netError, match=f"all from {port} to {port} are taken"):
            serving.free_port()
