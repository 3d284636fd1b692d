"""Every numeric test fails on a broken implementation: each mutation here must be caught, without golden data."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def read_mutations() -> list[tuple[str, str, str, str]]:
    """File, text, its broken form, and the tests that must notice, from `mutations.txt`."""
    found, tests = [], ""
    for line in (ROOT / "tests" / "mutations.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            tests = line.strip("[]")
        elif line and not line.startswith("#"):
            file, text, broken = (part.replace("\\n", "\n") for part in line.split(" | "))
            found.append((file, text, broken.replace("(nothing)", ""), tests))
    return found


MUTATIONS = read_mutations()


def run(copy: Path, tests: str) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ, PYTHONPATH=str(copy / "src"), MP3NET_GOLDEN=str(copy / "absent"))
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests.split()]
    return subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("copy")
    for name in ("src", "tests", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_mutations_break_code_that_is_there():
    """The slow tests below are seldom run: what they break must not go away unnoticed."""
    package = ROOT / "src" / "mp3net"
    stale = [(file, text) for file, text, _, _ in MUTATIONS if text not in (package / file).read_text()]
    assert stale == [], "the code has changed: renew these mutations"
    assert all((ROOT / tests.split()[0]).exists() for *_, tests in MUTATIONS)


@pytest.mark.slow
@pytest.mark.parametrize("tests", sorted({tests for *_, tests in MUTATIONS}))
def test_unbroken_code_passes(copy, tests):
    done = run(copy, tests)
    assert done.returncode == 0, done.stdout[-5000:]


@pytest.mark.slow
@pytest.mark.parametrize(("file", "text", "broken", "tests"), MUTATIONS)
def test_mutation_is_caught(copy, file, text, broken, tests):
    path = copy / "src" / "mp3net" / file
    source = path.read_text()
    try:
        path.write_text(source.replace(text, broken))
        assert run(copy, tests).returncode == 1
    finally:
        path.write_text(source)
