"""The notebook for beginners: every cell runs, and its commands say that they have done what they should."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

NOTEBOOK = Path(__file__).parents[1] / "examples" / "first_steps.ipynb"
pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
# In a process of its own, because libraries of Jupyter warn where they are loaded; it prints what the cells printed.
RUN = """
import sys, nbformat, nbclient
notebook = nbformat.read(sys.argv[1], as_version=4)
client = nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": sys.argv[2]}})
client.execute()
for cell in notebook.cells:
    for output in cell.get("outputs", ()):
        print(output.get("text") or output.get("data", {}).get("text/plain", ""))
        print(*(kind for kind in output.get("data", {}) if kind == "image/png"))
"""


def test_every_cell_runs(tmp_path):
    # Neither settings of a person's Jupyter and IPython nor files in the home folder.
    places = {
        name: str(tmp_path / "jupyter")
        for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
    }
    (tmp_path / "work").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", RUN, NOTEBOOK, tmp_path / "work"],
        env={**os.environ, **places, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-5000:]
    assert soundfile.info(tmp_path / "work" / "song.flac").duration == pytest.approx(12, abs=0.1)
    # A command that fails does not stop a notebook.
    for said in ("kept for training", "finished at 16 tracks", "below the masking threshold: "):
        assert said in done.stdout, done.stdout[-5000:]
    assert "error" not in done.stdout.lower()
    assert done.stdout.count("image/png") == 2
    assert done.stdout.count("IPython.lib.display.Audio") == 9
    assert (tmp_path / "work" / "runs" / "mine" / "checkpoints").is_dir()


def test_nothing_that_was_printed_is_kept():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]
    assert not [cell for cell in cells if max(map(len, cell["source"])) > 126]
