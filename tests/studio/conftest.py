"""A run in training, tiny, with samples; and a corrupt snapshot."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mp3net.config import override
from mp3net.generation import BUNDLED
from mp3net.studio.made import Songs
from tests.training.conftest import SECOND, tiny_data, trainer

__all__ = ["tiny_data"]


@pytest.fixture(scope="session")
def run(tmp_path_factory, tiny_data) -> Path:
    """Half of its tracks seen."""
    folder = tmp_path_factory.mktemp("runs") / "tiny run"
    settings = [
        "run.evaluate_every_tracks=16",
        "run.evaluate_samples=8",
        "run.total_tracks=48",
        "run.sample_every_tracks=16",
    ]
    trainer(override(SECOND, settings), tiny_data, folder).run()
    return folder


@pytest.fixture(scope="module")
def songs() -> Iterator[Songs]:
    kept = Songs()
    yield kept
    kept.close()


@pytest.fixture
def corrupt(tmp_path) -> Path:
    folder = tmp_path / "corrupt"
    shutil.copytree(BUNDLED, folder)
    weights = folder / "generator.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    return folder
