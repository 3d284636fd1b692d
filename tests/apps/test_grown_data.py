"""A run goes on with a dataset that has grown, when it is told so, and keeps a note of it."""

from __future__ import annotations

import json

import soundfile

from tests.recordings import music, write_folder


def test_a_run_goes_on_with_a_grown_dataset_when_told_so(mp3net, tmp_path):
    write_folder(tmp_path / "music")
    prepare = ("prepare", "music", "--out", "data", "--sample-rate", 8000, "--channels", 1, "--workers", 1)
    assert mp3net(*prepare)[0] == 0
    settings = ["audio.sample_rate_hz=8000", "audio.num_bins=16", "model.num_blocks=2", "run.evaluate_samples=0"]
    train = ["train", "data", "--preset", "nano-1.5s", "--out", "run", "--device", "cpu"]
    train += [item for setting in settings for item in ("--set", setting)]
    status, _, errors = mp3net(*train, "--tracks", 16)
    assert status == 0, errors
    before = json.loads((tmp_path / "run" / "run.json").read_text())
    soundfile.write(tmp_path / "music" / "new.wav", music(4.0, 44100, 2, 9), 44100)
    status, out, errors = mp3net(*prepare)
    assert status == 0, errors
    assert "added 1 recording; those that were there are as they were" in out
    status, _, errors = mp3net("train", "--out", "run", "--tracks", 32)
    assert status == 2
    assert "add --data-changed; to begin a new run with its weights: --init-from run --out NEW" in errors
    status, out, errors = mp3net("train", "--out", "run", "--tracks", 32, "--data-changed", "--device", "cpu")
    assert status == 0, errors
    assert "the first 16 tracks saw the data as it was before it changed" in out
    now = json.loads((tmp_path / "run" / "run.json").read_text())
    assert now["data_sha256"] != before["data_sha256"]
    earlier = [{"data_sha256": before["data_sha256"], "data": before["data"], "until_tracks": 16}]
    assert now["earlier_data"] == earlier
    status, out, errors = mp3net("train", "--out", "run", "--tracks", 48, "--device", "cpu")
    assert status == 0, errors
    assert json.loads((tmp_path / "run" / "run.json").read_text())["earlier_data"] == earlier
    described = mp3net("info", "run")[1]
    assert f"its first 16 tracks saw data with the fingerprint {before['data_sha256'][:12]}" in described
    assert "no single command repeats this run" in described
    assert "reproduce:" not in described
    status, out, _ = mp3net(*prepare, "--dry-run")
    assert status == 0
    assert "in data already │ 7" in out
