"""Which build of PyTorch `make` installs."""

from __future__ import annotations

import http.server
import importlib.util
import platform
import re
import subprocess
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def tool(monkeypatch, tmp_path):
    """The tool on Linux without a driver and with nothing on the path."""
    specification = importlib.util.spec_from_file_location("pytorch_index", ROOT / "tools" / "pytorch_index.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(module, "DRIVER", tmp_path / "driver")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    return module


@pytest.fixture
def index():
    """A package index that answers."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/torch/" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


def with_gpu(tmp_path: Path, output: str, status: int = 0) -> None:
    program = tmp_path / "bin" / "nvidia-smi"
    program.write_text(f"#!/bin/sh\necho '{output}'\nexit {status}\n")
    program.chmod(0o755)


def test_without_a_gpu_the_small_build_is_taken(tool, index):
    assert tool.options("auto", index)[0] == ["--extra-index-url", index]
    assert tool.options("cpu", index)[0] == ["--extra-index-url", index]
    assert tool.options("cuda", index) == ([], "PyTorch with CUDA")


def test_a_gpu_is_seen_by_its_driver_or_its_tool(tool, index, tmp_path):
    with_gpu(tmp_path, "No devices were found", 6)
    assert tool.options("auto", index)[0] != []
    with_gpu(tmp_path, "GPU 0: NVIDIA RTX 4090 (UUID: GPU-1)")
    assert tool.options("auto", index)[0] == []
    assert tool.options("cpu", index)[0] != []
    (tmp_path / "bin" / "nvidia-smi").unlink()
    tool.DRIVER.write_text("NVRM version")
    assert tool.options("auto", index)[0] == []


def test_an_index_that_cannot_be_reached_is_left_alone(tool, index):
    assert tool.options("auto", "http://127.0.0.1:9")[0] == []
    assert tool.options("auto", f"{index}/missing")[0] == []


def test_other_systems_take_what_pypi_has(tool, index, monkeypatch):
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    assert tool.options("auto", index)[0] == []
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert tool.options("cpu", index)[0] == []


def test_the_makefile_asks_the_tool():
    planned = subprocess.run(["make", "-n", "-B", "TORCH=cpu", ".venv/core.stamp"], cwd=ROOT, capture_output=True, text=True)
    assert re.search(r'index="\$\(TORCH=cpu \.venv/bin/python tools/pytorch_index\.py\)"', planned.stdout)
    refused = subprocess.run(
        ["python3", "tools/pytorch_index.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={"TORCH": "rocm", "PATH": "/usr/bin:/bin"},
    )
    assert (refused.returncode, refused.stderr) == (1, "TORCH=rocm: choose auto, cpu or cuda\n")
