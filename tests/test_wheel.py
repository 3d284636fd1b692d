"""The wheel is complete: in an empty environment, in another folder, it makes music."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import soundfile

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_wheel_runs_in_an_empty_environment(tmp_path):
    def run(*command: object) -> str:
        done = subprocess.run(list(map(str, command)), cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path / "dist", ROOT)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in names if name.startswith("tests")]
    run(sys.executable, "-m", "venv", "empty")
    python = tmp_path / "empty" / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", wheel)
    output = run(tmp_path / "empty" / "bin" / "mp3net", "generate")
    assert output.startswith("song.wav: ")
    assert soundfile.info(tmp_path / "song.wav").frames > 10_000
    assert str(ROOT) not in run(python, "-c", "import mp3net; print(mp3net.__file__)")
