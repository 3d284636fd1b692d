"""The second family, from recordings to songs longer than its tracks, by the commands."""

from __future__ import annotations

import re

import soundfile

from mp3net.generation import BUNDLED
from tests.recordings import write_folder


def test_the_second_family_from_recordings_to_a_longer_song(mp3net, tmp_path):
    """Train on short tracks, go on with longer ones, generate any length."""
    write_folder(tmp_path / "music")
    assert mp3net("prepare", "music", "--out", "data", "--sample-rate", 8000, "--channels", 1, "--workers", 2)[0] == 0
    settings = [
        "audio.sample_rate_hz=8000", "audio.num_bins=16", "model.num_doublings=2", "model.movement_lags=[1, 4]",
        "model.loudness_lags=[2]", "model.interval_lags=[0, 4]",
        "model.width=16", "model.deep_width=16", "model.global_dim=4", "model.local_dim=4", "optimiser.batch_size=4",
        "run.evaluate_samples=0",
    ]  # fmt: skip
    train = ["train", "data", "--preset", "mp3net2-nano", "--device", "cpu", "--tracks", 16]
    train += [item for setting in settings for item in ("--set", setting)]
    status, out, _ = mp3net(*train, "--out", "runs/short")
    assert status == 0
    assert "warning: fresh networks learn to move before they learn to sound; begin with the weights" in out
    assert "add --set 'model.movement_lags=[]' --set 'model.loudness_lags=[]' --set 'model.interval_lags=[]'\n" in out
    assert "1 discriminator step per generator step" in out
    assert re.search(r"samples to listen to every 8,000 tracks \(\d.*\), a checkpoint every 8,000 \(\d", out)
    assert "finished at 16 tracks" in out
    longer = [*train, "--out", "runs/long", "--init-from", "runs/short", "--set", "model.num_parts=3"]
    status, out, _ = mp3net(*longer)
    assert (status, "beginning with both networks of runs/short" in out) == (0, True)
    status, out, _ = mp3net("generate", "runs/long", "--duration", 1.5, "--out", "long.wav")
    assert (status, "long.wav: 1.50 s mono at 8000 Hz" in out) == (0, True)
    assert soundfile.info("long.wav").frames == 12000
    status, out, _ = mp3net("generate", "runs/long", "--out", "usual.wav")
    assert (status, soundfile.info("usual.wav").frames) == (0, 20 * 8000), "songs last at least 20 s"
    status, _, err = mp3net(*train, "--out", "runs/other", "--init-from", "bundled")
    assert (status, f"{BUNDLED}: " in err) == (2, True), "the bundled snapshot is found, and of another sample rate"
    status, _, err = mp3net("generate", "runs/long", "--duration", 0, "--out", "none.wav")
    assert (status, "songs last from 0.1 s to" in err) == (2, True)
    status, _, err = mp3net(*train, "--out", "runs/other", "--set", "model.num_blocks=3")
    assert (status, "model.num_blocks belongs to the other family" in err) == (2, True)
    paper = ["train", "data", "--preset", "nano-1.5s", "--out", "runs/paper", "--init-from", "runs/short"]
    status, _, err = mp3net(*paper, "--set", "audio.sample_rate_hz=8000")
    assert (status, "of the family mp3net2, this preset's of paper" in err) == (2, True)
    assert not (tmp_path / "runs" / "paper").exists(), "a refused training leaves nothing behind"
    status, _, err = mp3net(*train, "--out", "runs/other", "--set", "model.num_parts=500")
    assert (status, err.startswith("error: data: none of its")) == (2, True)
    status, _, err = mp3net(*longer[:-1], "model.num_parts=2")
    assert (status, "differing: model.num_parts: 3 -> 2" in err) == (2, True)
