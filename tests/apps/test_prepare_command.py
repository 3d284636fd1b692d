"""`mp3net prepare` as a user meets it: what it refuses, foresees, and does when interrupted."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mp3net.data.recordings import below, parse_shard
from tests.recordings import write_folder


def test_prepare_needs_one_place_and_can_look_only(mp3net, tmp_path):
    status, _, errors = mp3net("prepare", "--out", "data")
    assert (status, "either a FOLDER of recordings or --maestro DIR" in errors) == (2, True)
    write_folder(tmp_path / "music")
    status, _, errors = mp3net("prepare", "music", "--out", "data", "--years", "2004")
    assert (status, "--years belongs to --maestro" in errors) == (2, True)
    status, out, _ = mp3net("prepare", "music", "--out", "data", "--dry-run")
    assert (status, "Nothing was written" in out, (tmp_path / "data").exists()) == (0, True, False)
    numbers = []
    for shard in ("1/2", "2/2"):
        status, out, _ = mp3net("prepare", "music", "--out", "data", "--shard", shard, "--dry-run")
        assert (status, f"shard {shard} alone; disk: " in out) == (0, True)
        numbers.append(int(re.search(r"readable header\W+(\d+)", out)[1]))
    assert (sum(numbers), all(numbers), (tmp_path / "data").exists()) == (6, True, False)
    empty = next(k for k in range(1, 100) if not below(tmp_path / "music").only(parse_shard(f"{k}/99")).paths)
    status, out, _ = mp3net("prepare", "music", "--out", "data", "--shard", f"{empty}/99", "--dry-run")
    assert (status, re.search(r"readable header\W+0\b", out) is not None) == (0, True), "no file of so few is in this part"
    for shard in ("1/2", "2/2"):
        status, out, _ = mp3net("prepare", "music", "--out", "data", "--shard", shard)
        assert status == 0
        assert "the same command without --shard finishes the dataset" in " ".join(out.split())
    status, out, _ = mp3net("prepare", "music", "--out", "data", "--licence", "CC0-1.0", "--source", "made by a test")
    assert status == 0
    assert 'license: "cc0-1.0"' in (tmp_path / "data" / "README.md").read_text()
    status, out, _ = mp3net("parquet", "data", "--out", "parquet")
    assert (status, "wrote 2 Parquet files" in out) == (0, True)


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_a_missing_ray_is_named_before_anything_is_written(mp3net, tmp_path, monkeypatch, dry):
    write_folder(tmp_path / "music")
    monkeypatch.setitem(sys.modules, "ray", None)
    status, _, err = mp3net("prepare", "music", "--out", "data", "--ray", "local", *dry)
    assert (status, "--ray needs Ray: pip install 'mp3net[cluster]'" in err, Path("data").exists()) == (2, True, False)


def test_interrupted_prepare_says_so_and_goes_on(tmp_path):
    (tmp_path / "music").mkdir()
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 10 * 44100)
    for index in range(25):
        soundfile.write(tmp_path / "music" / f"{index}.wav", noise, 44100)
    command = [sys.executable, "-m", "mp3net", "prepare", "music", "--out", "data", "--workers", "1"]
    # Started in the background, tests inherit that Ctrl-C is ignored; the command must not.
    heeding = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, **heeding) as process:
        while not list((tmp_path / "data").rglob("*.arrow")) and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert process.stderr.read() == "interrupted; the same command goes on where this one stopped\n"
    assert process.returncode == 130
    assert not (tmp_path / "data" / "dataset.json").exists()
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0
    assert (tmp_path / "data" / "dataset.json").exists()
