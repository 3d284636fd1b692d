"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mp3net.apps import cli

# Files that share what takes long to make stay in one process; what takes longest begins first.
TOGETHER = "evaluation"
FIRST = (
    "evaluation", "test_survival.py", "test_trainer.py", "test_hostile.py", "test_parallel.py", "test_code_blocks.py",
    "test_first_steps.py",
)  # fmt: skip
# Fresh weights of the paper's networks are nearly silent.
LOUDER = 1.2
GOLDEN = Path(os.environ.get("MP3NET_GOLDEN", Path(__file__).parents[1] / ".." / "shared" / "golden"))


def group(nodeid: str) -> str:
    """Tests of one file belong together, and so does the folder of the evaluation."""
    path = Path(nodeid.split("::")[0])
    return TOGETHER if path.parent.name == TOGETHER else path.name


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: FIRST.index(group(item.nodeid)) if group(item.nodeid) in FIRST else len(FIRST))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Each group of tests in one process."""
    from xdist.scheduler import LoadScopeScheduling

    class Grouped(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group(nodeid)

    return Grouped(config, log)


@pytest.fixture
def golden() -> Callable[[str], dict[str, np.ndarray]]:
    """Reads a golden file by name; the test is skipped, saying why, where the folder is absent."""

    def read(name: str) -> dict[str, np.ndarray]:
        path = GOLDEN / f"{name}.npz"
        if not path.exists():
            pytest.skip(f"golden data not found at {path}; set MP3NET_GOLDEN to their folder")
        with np.load(path) as data:
            return dict(data)

    return read


@pytest.fixture(scope="session")
def untrained(tmp_path_factory) -> Path:
    """A snapshot of the paper's smallest preset with random weights: it makes noise."""
    import torch

    from mp3net.config import PRESETS
    from mp3net.model.build import build_generator
    from mp3net.model.snapshot import save_snapshot

    generator = build_generator(PRESETS["nano-1.5s"])
    generator.initialise(torch.Generator().manual_seed(0))
    weights = {name: LOUDER * value for name, value in generator.state_dict().items()}
    folder = tmp_path_factory.mktemp("untrained") / "snapshot"
    save_snapshot(folder, PRESETS["nano-1.5s"], weights, None, {"tracks_seen": 0})
    return folder


@pytest.fixture
def mp3net(capsys, monkeypatch, tmp_path):
    """Run the command in an empty folder; returns (exit status, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "150")

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mp3net", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        captured = capsys.readouterr()
        return int(stopped.value.code or 0), captured.out, captured.err

    return run
