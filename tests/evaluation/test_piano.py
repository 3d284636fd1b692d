"""The piano transcriber hears notes where there are some, and says what it needs where it is not installed."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from mp3net.errors import Mp3netError
from mp3net.evaluation import session as module
from mp3net.evaluation.ladder import random_signs
from mp3net.evaluation.notes import Note
from mp3net.evaluation.piano import PianoTranscriber
from mp3net.evaluation.report import save_report
from mp3net.evaluation.session import evaluate
from tests.evaluation.test_notes import EVENTS, RATE, score


@pytest.mark.slow
def test_known_notes_are_heard_and_noise_holds_none():
    ear = PianoTranscriber()
    clip = score(EVENTS, 6.5)[0]
    heard = ear.notes(clip, RATE)
    for pitch, start, _ in EVENTS:
        assert any(note.pitch == pitch and abs(note.start_s - start) < 0.06 for note in heard), (pitch, start)
    assert len(heard) <= len(EVENTS) + 1
    assert ear.notes(random_signs(clip, RATE, np.random.default_rng(0)), RATE) == []


def test_missing_package_is_said_before_the_work(dataset, judged_folder, monkeypatch):
    original = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "transkun" else original(name))
    with pytest.raises(Mp3netError, match="transkun is not installed; install it with: .* -m pip install"):
        evaluate(judged_folder, dataset, 40, 1.0, measures=["piano"])


def test_report_has_a_table_of_what_was_heard(dataset, judged_folder, monkeypatch, tmp_path):
    """With a stand-in for the ear: hears one note per clip whose level is above the noise's."""

    class Ear(PianoTranscriber):
        def __init__(self) -> None:
            pass

        def notes(self, clip, sample_rate_hz):
            return [Note(60, 0.0, 0.5)] * 3

    monkeypatch.setattr(module, "PianoTranscriber", Ear)
    found = evaluate(judged_folder, dataset, 40, 1.0, measures=["piano", "logmel"], cache=tmp_path / "cache")
    assert list(found.piano) == ["real again", "judged", "random signs"]
    assert found.piano["judged"].notes_per_s == pytest.approx([3.0] * 4)
    assert found.to_json()["piano"]["judged"]["note_length_s"] == pytest.approx([0.5] * 4)
    save_report(found, tmp_path / "report")
    assert "much better, much slower transcriber" in (tmp_path / "report" / "report.html").read_text()
