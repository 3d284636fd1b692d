"""examples/bach_chorales/train.py: its commands fit together, and it stops where one of them does."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from mp3net.config import override, preset

FILE = Path(__file__).parents[1] / "examples" / "bach_chorales" / "train.py"


@pytest.fixture
def train():
    specification = importlib.util.spec_from_file_location("train", FILE)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def after(command: list[str], option: str) -> list[str]:
    return [value for name, value in pairwise(command) if name == option]


def test_the_stages_fit_together(train):
    _, prepare, *trainings, evaluate = train.commands(Path("out"), 1)
    stages = []
    for command in trainings:
        assert command[command.index("train") + 1] == after(prepare, "--out")[0]
        config = override(preset(after(command, "--preset")[0]), after(command, "--set"))
        assert config.optimiser.learning_rate_schedule[-1][0] in (0, int(after(command, "--tracks")[0]))
        stages.append(config)
    assert [after(command, "--init-from") for command in trainings] == [
        [],
        *(after(command, "--out") for command in trainings[:-1]),
    ]
    for stage in stages:
        assert stage.audio == preset(after(prepare, "--preset")[0]).audio
        free = {name: getattr(stages[0].model, name) for name in stage.model.shapeless}
        assert stage.model.model_copy(update=free) == stages[0].model
    assert evaluate[evaluate.index("evaluate") + 1] == after(trainings[-1], "--out")[0]


def test_a_rehearsal_differs_in_its_length_and_its_runs_alone(train):
    """The whole that follows begins with none of its runs, and with its music and data."""
    whole, rehearsed = (train.commands(Path("out"), 1, rehearse) for rehearse in (False, True))
    assert rehearsed[:2] == whole[:2]
    runs, apart = (str(Path(folder) / "_")[:-1] for folder in ("out", "out/rehearsal"))
    for before, now, stage in zip(whole[2:-1], rehearsed[2:-1], train.STAGES, strict=True):
        assert after(now, "--tracks") == ["64"]
        expected = [word.replace(runs, apart) if runs in word and word != before[4] else word for word in before]
        assert [word if word != "64" else str(stage.tracks) for word in now] == expected
    assert after(rehearsed[-1], "--samples") == ["32"]
    assert after(rehearsed[-1], "--out") == [f"{apart}report"]


def test_commands_are_printed_or_run_and_the_first_that_fails_is_the_last(train, monkeypatch, capsys):
    ran = []
    monkeypatch.setattr(
        subprocess, "run", lambda command: ran.append(command) or subprocess.CompletedProcess(command, len(ran) // 3)
    )
    monkeypatch.setattr(sys, "argv", ["train.py", "--out", "out", "--show"])
    assert train.main() == 0
    assert ran == []
    assert len(capsys.readouterr().out.splitlines()) == 8
    monkeypatch.setattr(sys, "argv", ["train.py", "--out", "out"])
    assert train.main() == 1
    assert len(ran) == 3
    assert "the same command goes on" in capsys.readouterr().err
