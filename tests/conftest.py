"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

GOLDEN = Path(os.environ.get("MP3NET_GOLDEN", Path(__file__).parents[1] / ".." / "shared" / "golden"))


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
