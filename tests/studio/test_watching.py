"""A training as the studio shows it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import time

import numpy as np
import pytest

from mp3net.config import override
from mp3net.figures import png_bytes
from mp3net.studio import watching
from mp3net.training.origin import read_origin
from mp3net.training.standing import standing


def test_the_page_tells_verdict_progress_and_time_left(run):
    text = watching.told(run)
    assert text.startswith("### ")
    assert text.split("\n")[0][4:] in watching.WORDS.values()
    assert "48 of 48 tracks: finished." in text
    assert text.count("\n| ") >= 4 + 1, "what is missing to be called good"
    assert png_bytes(watching.curves(run)).startswith(b"\x89PNG")


def test_a_run_that_has_only_begun(run, tmp_path):
    begun = tmp_path / "begun"
    begun.mkdir()
    shutil.copy(run / "run.json", begun)
    assert "0 of 48 tracks." in watching.told(begun)
    assert watching.curves(begun) is None
    assert watching.moments(begun) == []


def test_a_run_that_stands_still_is_said_to(tmp_path, run):
    shutil.copytree(run, tmp_path / "run")
    config = override(read_origin(run).config, ["run.total_tracks=96"])
    metrics = tmp_path / "run" / "metrics.jsonl"
    assert re.fullmatch(r"48 of 96 tracks, \d+ s left at its latest rate", standing(tmp_path / "run", config).progress)
    os.utime(metrics, (time.time() - 7200, time.time() - 7200))
    stands = standing(tmp_path / "run", config)
    again = shlex.join(["mp3net", "train", "--out", str(tmp_path / "run")])
    assert stands.progress == f"48 of 96 tracks: STOPPED, no report for 2.0 h; to go on: {again}"
    assert stands.stopped
    assert standing(tmp_path / "run", read_origin(run).config).progress == "48 of 48 tracks: finished"
    metrics.write_text("")
    assert standing(tmp_path / "run", config).progress.startswith("48 of 96 tracks"), "kept, though not yet reported"


def test_the_heading_says_how_it_ended(run, tmp_path):
    begun, config = tmp_path / "run", override(read_origin(run).config, ["run.total_tracks=16000"])
    begun.mkdir()
    readings = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert "evaluation/kernel_logmel" in readings
    rows = [{"tracks_seen": 8000, "rate/tracks_per_s": 20.0}, {**readings, "tracks_seen": 8000}]
    rows += [{"tracks_seen": 16000, "rate/tracks_per_s": 20.0}]
    rows += [{**readings, "tracks_seen": 16000, "evaluation/kernel_logmel": readings["evaluation/kernel_logmel"] / 2}]
    (begun / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)))
    origin = json.loads((run / "run.json").read_text())
    (begun / "run.json").write_text(json.dumps(origin | {"config": config.model_dump(mode="json")}))
    text = watching.told(begun)
    assert text.startswith("### It has ended, and was still getting better\n")
    more = shlex.join(["mp3net", "train", "--out", str(begun), "--tracks", "32000"])
    assert f"**What to do:** It ended while it was getting better; to train on: {more}." in text
    half = readings["evaluation/kernel_logmel"] / 2
    assert f"| kernel distance | {half:.2f} | {half:.2f} (16,000) | at most 1.50 | not yet |" in text
    with (begun / "metrics.jsonl").open("a") as file:
        file.write('\n{"tracks_seen": 15990, "fault/diverged": 1.0}')
    assert watching.told(begun).startswith("### It is unstable (it has stopped)\n\nA loss or a weight was no longer finite")


def test_moments_are_spread_over_the_training(run, tmp_path):
    found = watching.moments(run)
    assert [one.tracks_seen for one in found] == [16, 32, 48]
    assert found[0].words.startswith("after ")
    assert watching.seeds_at(run, 16) == [1, 2, 3, 4]
    assert watching.sample(run, 16, 3).is_file()
    long = tmp_path / "long"
    for tracks in np.arange(1, 101) * 8000:
        (long / "samples" / f"tracks-{tracks:012d}").mkdir(parents=True)
    (long / "samples" / "tracks-x").mkdir()
    seen = [one.tracks_seen for one in watching.moments(long)]
    assert (seen[0], seen[-1], len(seen)) == (8000, 800_000, 6)
    assert watching.samples_note(run).startswith("Each is as long as a track of this training, ")
    assert "moments; all" not in watching.samples_note(run)
    shutil.copy(run / "run.json", long)
    assert watching.samples_note(long).endswith(f" 6 of 100 moments; all are in {long / 'samples'}.")
    ratios = np.array(seen[1:]) / np.array(seen[:-1])
    assert ratios.min() > 1.8
    assert ratios.max() < 3.6


def test_every_state_has_words():
    from typing import get_args

    from mp3net.training.verdict import State

    assert set(watching.WORDS) == set(get_args(State))


@pytest.mark.parametrize("seed", ["../../run", "1/..", 1.5])
def test_samples_are_found_by_numbers_alone(run, seed):
    if isinstance(seed, str):
        with pytest.raises(ValueError, match="invalid literal"):
            watching.sample(run, 16, seed)
    else:
        assert watching.sample(run, 16, seed).name == "seed-1.wav"
