"""The same training on one process, on several, and in micro-batches: real processes that talk by gloo."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mp3net.config import override
from mp3net.errors import Mp3netError
from mp3net.model.paper.layers import append_minibatch_stddev
from mp3net.training.parallel import Ranks, check_division

ROOT = Path(__file__).parents[2]
Found = dict[str, dict[str, np.ndarray]]


def run(count: int, data: Path, out: Path, *cases: str) -> Found:
    """What each case of `parallel_worker.py` finds on so many processes."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)] if count > 1 else []
    worker = str(ROOT / "tests" / "training" / "parallel_worker.py")
    environment = dict(os.environ, PYTHONPATH=f"{ROOT / 'src'}:{ROOT}", OMP_NUM_THREADS="1")
    command = [sys.executable, *launcher, worker, str(data), str(out), *cases]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    found = {}
    for case in cases:
        with np.load(out / f"{case}.npz") as arrays:
            found[case] = dict(arrays)
    return found


def assert_same(
    a: dict[str, np.ndarray], b: dict[str, np.ndarray], gradients: float, weights: float, zero: float = 1e-12
) -> None:
    assert a.keys() == b.keys()
    for name in a:
        tolerance, least = (weights, 1e-2) if "/weight/" in name else (gradients, zero)
        scale = max(np.abs(a[name]).max(), least)
        assert np.abs(a[name] - b[name]).max() <= tolerance * scale, name


@pytest.fixture(scope="module")
def one(tiny_data, tmp_path_factory) -> Found:
    cases = ("paper", "float32", "groups-of-2", "groups-of-2-in-parts", "checkpointing", "second")
    return run(1, tiny_data, tmp_path_factory.mktemp("one"), *cases)


@pytest.fixture(scope="module")
def two(tiny_data, tmp_path_factory) -> Found:
    cases = ("paper", "float32", "groups-of-4", "groups-of-2-in-parts", "second", "second-in-parts")
    return run(2, tiny_data, tmp_path_factory.mktemp("two"), *cases)


def test_two_processes_give_the_same_gradients_and_weights(one, two):
    assert_same(one["paper"], two["paper"], 1e-10, 1e-6)


@pytest.mark.slow
def test_four_processes_give_the_same_gradients_and_weights(one, tiny_data, tmp_path):
    assert_same(one["paper"], run(4, tiny_data, tmp_path, "paper")["paper"], 1e-10, 1e-6)


def test_the_same_in_float32(one, two):
    gradients = {name for name in two["float32"] if "/weight/" not in name}
    assert_same(*({name: found["float32"][name] for name in gradients} for found in (one, two)), 1e-5, 0)
    # Adam's first steps are the rate times the sign of a gradient: where that is all rounding, weights go opposite ways.
    for name in two["float32"].keys() - gradients:
        assert np.abs(two["float32"][name] - one["float32"][name]).max() <= 2 * 5 * 1e-4, name


def test_the_second_family_on_two_processes_and_in_micro_batches(one, two):
    # Scores are compared in pairs: the gradients of their last biases are zero, up to rounding.
    for case in ("second", "second-in-parts"):
        assert_same(one["second"], two[case], 1e-10, 1e-6, zero=1e-6)


def test_deviation_couples_the_processes(one, two):
    """Without the exchange the numbers differ: the tests above would see it."""
    with pytest.raises(AssertionError):
        assert_same(one["paper"], two["groups-of-4"], 1e-6, 1e-6)


def test_micro_batches_of_whole_groups_equal_the_large_batch(one, two):
    # Adam's first steps amplify the rounding of gradients that are nearly zero.
    for parts in (one, two):
        assert_same(one["groups-of-2"], parts["groups-of-2-in-parts"], 1e-10, 1e-6)


def test_activation_checkpointing_changes_nothing(one):
    assert_same(one["paper"], one["checkpointing"], 1e-12, 1e-12)


@pytest.mark.parametrize(
    ("settings", "count", "message"),
    [
        (["optimiser.batch_size=6"], 4, "cannot be shared evenly by 4 processes; choose a multiple of 4$"),
        (
            ["optimiser.batch_size=8", "run.micro_batch_size=3"],
            1,
            "does not divide the 8 tracks of one process .*; its divisors are 1, 2, 4, 8",
        ),
        (["optimiser.batch_size=8", "run.micro_batch_size=4"], 1, "Set model.stddev_group_size to a divisor"),
        (["optimiser.batch_size=8", "model.stddev_group_size=4"], 4, "does not divide the 2 tracks"),
        (["optimiser.batch_size=8", "model.stddev_group_size=4", "run.micro_batch_size=2"], 1, "within one process"),
    ],
)
def test_divisions_that_would_change_the_mathematics_are_refused(tiny, settings, count, message):
    with pytest.raises(Mp3netError, match=message):
        check_division(override(tiny, settings), Ranks(0, count))


def test_groups_have_their_own_deviation():
    x = torch.randn(6, 3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    grouped = append_minibatch_stddev(x, group_size=2)
    for first in (0, 2, 4):
        expected = append_minibatch_stddev(x[first : first + 2])
        assert torch.allclose(grouped[first : first + 2], expected, rtol=1e-12)
    with pytest.raises(ValueError, match="no whole groups of 4"):
        append_minibatch_stddev(x, group_size=4)
