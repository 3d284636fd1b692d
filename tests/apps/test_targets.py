"""What seeds, durations and names of files may be."""

from __future__ import annotations

from pathlib import Path

import pytest

from mp3net.apps.targets import parse_duration, parse_seeds, plan_targets
from mp3net.errors import Mp3netError
from mp3net.generation import SongSettings


def test_seed_texts():
    assert parse_seeds("7") == [7]
    assert parse_seeds("1..3") == [1, 2, 3]
    assert parse_seeds("5, 1,5") == [5, 1]
    assert parse_seeds("4294967295") == [4294967295]
    for text in ("", "-1", "3..1", "1..", "a", "1;2", str(2**32), str(2**63)):
        with pytest.raises(Mp3netError):
            parse_seeds(text)


def test_targets(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one, two = SongSettings(seed=1), SongSettings(seed=2)
    varied = [SongSettings(seed=1, strength=0.5, variation=number) for number in (3, 4)]
    assert plan_targets([one], None, None) == [Path("song.wav")]
    assert plan_targets([one], None, "ogg") == [Path("song.ogg")]
    assert plan_targets([one, two], None, None) == [Path("songs/seed-1.wav"), Path("songs/seed-2.wav")]
    assert plan_targets([one], Path("x.FLAC"), None) == [Path("x.FLAC")]
    assert plan_targets([two], Path("dir"), "mp3") == [Path("dir/seed-2.mp3")]
    assert plan_targets(varied, None, None) == [Path(f"songs/seed-1-variation-{number}.wav") for number in (3, 4)]
    for folder in ("runs.v2", "take.1", "2024.05.01"):
        assert plan_targets([one], Path(folder), None) == [Path(folder) / "seed-1.wav"]
    (tmp_path / "a.new").mkdir()
    assert plan_targets([one], Path("a.new"), None) == [Path("a.new/seed-1.wav")]
    with pytest.raises(Mp3netError, match="cannot write .xyz; .* make it first"):
        plan_targets([one], Path("x.xyz"), None)


@pytest.mark.parametrize(
    ("text", "seconds"), [("20", 20), ("1.5s", 1.5), ("10min", 600), ("2 h", 7200), ("1:30", 90), ("1:00:02.5", 3602.5)]
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "-1", "1:", "5 days", "ten", "1e9", "inf", "1:2:3:4", "1:75", "1:60:00", "1:99.5"])
def test_what_is_no_duration(text):
    with pytest.raises(Mp3netError, match="give seconds, or a time such as"):
        parse_duration(text)
