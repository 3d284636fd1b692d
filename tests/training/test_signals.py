"""Whoever tells a training to end, in whatever way, gets a checkpoint."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest


def endless(data: Path, run: Path) -> list[str]:
    return [
        sys.executable, "-m", "mp3net", "train", str(data), "--preset", "nano-1.5s", "--device", "cpu", "--out", str(run),
        "--set", "audio.sample_rate_hz=8000", "--set", "audio.num_bins=16", "--set", "model.num_blocks=2",
        "--set", "run.log_every_tracks=16", "--set", "run.evaluate_samples=0",
    ]  # fmt: skip


def test_ctrl_c_saves_and_says_how_to_go_on(tiny_data, tmp_path):
    run = tmp_path / "run"
    with subprocess.Popen(endless(tiny_data, run), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "/400,000 tracks" in line and "gap " in line:
                break
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert process.returncode == 130
    assert "the same command again" in rest
    assert len(list((run / "checkpoints").iterdir())) == 1


def test_a_terminal_that_closes_loses_nothing(tiny_data, tmp_path):
    """Also if its shell passes the signal on a second time. Nobody can read any more what is printed."""
    pty, fcntl, termios = (pytest.importorskip(name) for name in ("pty", "fcntl", "termios"))
    ours, theirs = pty.openpty()

    def own_terminal() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup ignores it
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    streams = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
    with subprocess.Popen(
        endless(tiny_data, tmp_path / "run"), **streams, start_new_session=True, preexec_fn=own_terminal
    ) as process:
        os.close(theirs)
        seen = b""
        while b"/400,000 tracks" not in seen:
            seen += os.read(ours, 1000)
        os.close(ours)
        process.send_signal(signal.SIGHUP)
        assert process.wait(60) == 128 + signal.SIGHUP
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 1


def test_nohup_is_heeded(tiny_data, tmp_path):
    """The run goes on, and SIGTERM ends it."""
    ignoring = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)}
    with subprocess.Popen(endless(tiny_data, tmp_path / "run"), stdout=subprocess.PIPE, text=True, **ignoring) as process:
        assert process.stdout is not None
        for number in (signal.SIGHUP, signal.SIGTERM):
            assert any("/400,000 tracks" in line and "gap " in line for line in process.stdout)
            process.send_signal(number)
        rest = process.stdout.read()
    assert (process.returncode, rest.count("stopping after this iteration")) == (128 + signal.SIGTERM, 1)
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 1
