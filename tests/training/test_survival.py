"""Kills at any moment, lost workers, another number of processes, two trainings at once."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from mp3net.apps import train as train_app
from mp3net.config import override
from mp3net.errors import Mp3netError
from mp3net.model.weights import load_tensors
from mp3net.training.course import read_course
from mp3net.training.watcher import Watcher
from tests.training.conftest import trainer

ROOT = Path(__file__).parents[2]
EVERY = 80
LAUNCH = [sys.executable, "-m", "mp3net"]
TWO = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "mp3net"]


def command(launcher: list[str], data: Path, out: Path, total_tracks: int, *more: str) -> list[str]:
    settings = {
        "audio.sample_rate_hz": 8000, "audio.num_bins": 16, "model.num_blocks": 2, "model.channel_cap": 16,
        "optimiser.batch_size": 4, "run.checkpoint_every_tracks": EVERY, "run.log_every_tracks": 8,
        "run.sample_every_tracks": 100_000, "run.evaluate_samples": 0, "optimiser.precision": "float32",
        "run.total_tracks": total_tracks,
    }  # fmt: skip
    chosen = [item for key, value in settings.items() for item in ("--set", f"{key}={value}")]
    return [
        *launcher, "train", str(data), "--preset", "nano-1.5s", "--device", "cpu", "--threads", "1", *chosen, *more,
        "--out", str(out),
    ]  # fmt: skip


def run(arguments: list[str]) -> str:
    environment = dict(os.environ, OMP_NUM_THREADS="1")
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout


def final(out: Path) -> Path:
    return sorted((out / "checkpoints").glob("tracks-*"))[-1] / "training.safetensors"


def last_seen(text: str) -> int:
    return max((int(found.replace(",", "")) for found in re.findall(r"^ *([\d,]+)/[\d,]+ tracks", text, re.M)), default=0)


def resumed_at(text: str) -> int:
    found = re.search(r"resuming at ([\d,]+) tracks", text)
    return int(found[1].replace(",", "")) if found else 0


def started(arguments: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as lines:
        return subprocess.Popen(arguments, stdout=lines, stderr=subprocess.STDOUT)


@pytest.mark.slow
def test_twenty_kills_lose_at_most_one_interval_each_and_change_nothing(tiny_data, tmp_path):
    """Every second one while a checkpoint is being written, the others whenever the dice say."""
    total, source = 4000, random.Random(5)
    run(command(LAUNCH, tiny_data, tmp_path / "whole", total))
    arguments, out = command(LAUNCH, tiny_data, tmp_path / "killed", total), tmp_path / "killed"
    reached = kills_while_saving = 0
    for number in range(20):
        log = tmp_path / f"log-{number}"
        process = started(arguments, log)
        while last_seen(log.read_text()) < reached + EVERY and process.poll() is None:
            time.sleep(0.002)
        if number % 2:
            while not list((out / "checkpoints").glob(".*.partial")) and process.poll() is None:
                pass
        else:
            time.sleep(source.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it ended before it could be killed: lengthen the run"
        kills_while_saving += bool(list((out / "checkpoints").glob(".*.partial")))
        text = log.read_text()
        if number:
            assert reached - EVERY <= resumed_at(text) <= reached
        assert "warning" not in text
        reached = last_seen(text)
    assert kills_while_saving >= 5
    assert "finished" in run(arguments)
    assert final(out).read_bytes() == final(tmp_path / "whole").read_bytes()


@pytest.fixture(scope="module")
def by_two(tiny_data, tmp_path_factory) -> Path:
    """A run of two processes that nothing disturbs."""
    out = tmp_path_factory.mktemp("two") / "run"
    run(command(TWO, tiny_data, out, 320))
    return out


def children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the workers in /proc")
def test_a_lost_worker_restarts_from_the_last_checkpoint(by_two, tiny_data, tmp_path):
    arguments = command([*TWO[:-2], "--max-restarts", "2", *TWO[-2:]], tiny_data, tmp_path / "run", 320)
    log = tmp_path / "log"
    process = started(arguments, log)
    while len(list((tmp_path / "run" / "checkpoints").glob("tracks-*"))) < 2:
        assert process.poll() is None, log.read_text()[-3000:]
        time.sleep(0.01)
    os.kill(children(process.pid)[1], signal.SIGKILL)
    assert process.wait(timeout=200) == 0, log.read_text()[-3000:]
    assert resumed_at(log.read_text()) >= 2 * EVERY
    assert final(tmp_path / "run").read_bytes() == final(by_two).read_bytes()


@pytest.mark.slow
def test_goes_on_with_another_number_of_processes(by_two, tiny_data, tmp_path):
    """The tracks, crops and random numbers are the same; sums differ by rounding, which grows with every iteration."""
    run(command(TWO, tiny_data, tmp_path / "run", 240))
    assert resumed_at(run(command(LAUNCH, tiny_data, tmp_path / "run", 320))) == 240
    run(command(LAUNCH, tiny_data, tmp_path / "other", 320, "--set", "optimiser.seed=1"))
    expected, found, other = (load_tensors(final(folder)) for folder in (by_two, tmp_path / "run", tmp_path / "other"))

    def distance(a, b) -> float:
        names = [name for name in a if "/weight/" in name]
        change = np.concatenate([(a[name] - b[name]).flatten() for name in names])
        return float(np.linalg.norm(change) / np.linalg.norm(np.concatenate([a[name].flatten() for name in names])))

    assert 0 < distance(expected, found) < 1e-3
    assert distance(expected, other) > 0.1


@pytest.mark.slow
def test_two_trainings_do_not_share_a_run_directory(tiny_data, tmp_path):
    arguments, log = command(LAUNCH, tiny_data, tmp_path / "run", 10_000_000), tmp_path / "log"
    process = started(arguments, log)
    try:
        while last_seen(log.read_text()) == 0:
            assert process.poll() is None, log.read_text()
            time.sleep(0.01)
        second = subprocess.run(arguments, capture_output=True, text=True, timeout=120)
        assert second.returncode != 0
        assert "mp3net train (process " in second.stderr
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_out_of_memory_on_the_way_becomes_measured_advice(tiny, tiny_data):
    session = trainer(tiny, tiny_data)

    def fails():
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(Mp3netError) as raised:
        train_app._within_memory(session.steps, fails)
    text = str(raised.value)
    assert text.startswith("out of memory on cpu; the last checkpoint is kept. What would fit: ")
    assert "--set optimiser.precision=bfloat16" in text
    assert not session.state.networks.generator.checkpointing


def test_an_evaluation_is_left_when_the_training_is_to_stop(tiny, tiny_data, tmp_path):
    """Whoever asked waits for seconds only, and an evaluation may take minutes."""
    config = override(tiny, ["run.evaluate_every_tracks=32", "run.sample_every_tracks=32", "run.evaluate_samples=8"])
    training = trainer(config, tiny_data, tmp_path / "run")

    class Impatient(Watcher):
        def sampled(self, tracks_seen, songs, real) -> None:
            training.stop_requested = tracks_seen == 32

    assert training.run(Impatient()).tracks_seen == 32
    assert trainer(config, tiny_data, tmp_path / "run").run().finished
    assert [point.tracks_seen for point in read_course(tmp_path / "run").evaluated] == [64]


def test_what_fails_while_it_evaluates_costs_no_training(tiny, tiny_data, tmp_path, monkeypatch):
    config = override(tiny, ["run.evaluate_every_tracks=32", "run.checkpoint_every_tracks=32", "run.evaluate_samples=8"])
    training = trainer(config, tiny_data, tmp_path / "run")
    monkeypatch.setattr(training.listening, "readings", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        training.run()
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["tracks-000000000032"]
