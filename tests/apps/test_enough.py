"""A dataset that is too small to learn from, or to be judged by, is called so as soon as it can be known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from mp3net.apps.enough import Amount, warnings
from mp3net.config import PRESETS, DataConfig
from mp3net.data.index import read_index
from mp3net.errors import Mp3netError
from mp3net.evaluation.clips import real_sets
from tests.recordings import piece

RATE = 8000
CONFIG = DataConfig(sample_rate_hz=RATE, channels=1, min_duration_s=1.5)


def amount(train: list[float], heldout: list[float], preset: str | None = None) -> Amount:
    return Amount([round(RATE * one) for one in train], [round(RATE * one) for one in heldout], CONFIG, preset)


@pytest.mark.parametrize(
    ("train", "heldout", "said"),
    [
        (10 * [60], 8 * [60], []),
        (9 * [60], 8 * [60], ["9 pieces to train on: a generator will learn so few by heart. Add recordings"]),
        ([60], [], ["1 piece to train on: "]),
        ([4 * 3600], 8 * [60], []),  # one piece of hours
        (20 * [60], [], []),  # said by others: none may be wanted
        (27 * [60], 3 * [60], ["3 pieces with 120 clips of 1.5 s, and it needs 8 pieces with 64 clips. Prepare into "
                               "another --out with --heldout 0.3"]),
        (18 * [75], 2 * [75], ["Prepare into another --out with --heldout 0.4"]),
        (90 * [4], 10 * [4], ["10 pieces with 20 clips of 1.5 s, and it needs 8 pieces with 64 clips. Prepare into another "
                              "--out with --heldout 0.4"]),
        (11 * [60], [60], ["Add recordings: with --heldout 0.3 about 27 are needed"]),
        (20 * [60], 8 * [1.4], ["0 pieces with 0 clips of 1.5 s"]),
        (20 * [60], [600, *7 * [3]], ["8 pieces with 414 clips of 1.5 s"]),  # no halves of 4 pieces and 32 clips each
    ],
)  # fmt: skip
def test_what_is_too_little(train, heldout, said):
    found = list(warnings(amount(train, heldout)))
    assert [part in line for part, line in zip(said, found, strict=True)] == len(said) * [True], found
    assert all(line.startswith("warning: ") for line in found)


def test_clips_are_songs_of_the_preset():
    nano = PRESETS["nano-1.5s"]
    few = Amount(100 * [11008 * 60], 8 * [11008 * 60], CONFIG, "piano-95s")
    assert len(list(warnings(few))) == 1
    assert few.clip_samples == PRESETS["piano-95s"].song_samples
    assert list(warnings(Amount(100 * [11008 * 60], 8 * [nano.song_samples * 8], CONFIG, "nano-1.5s"))) == []
    assert len(list(warnings(Amount(100 * [11008 * 60], 8 * [nano.song_samples * 8 - 1], CONFIG, "nano-1.5s")))) == 1


def test_fixed_splits_are_not_to_be_changed():
    (line,) = warnings(amount(20 * [60], 3 * [60]), splits_are_fixed=True)
    assert line.endswith("Name more --years")


def record(folder: Path, count: int, seconds: float) -> None:
    folder.mkdir()
    for seed in range(count):
        soundfile.write(folder / f"{seed}.wav", piece(seconds, RATE, seed), RATE)


@pytest.mark.parametrize("share", [0.1, 0.4])
def test_what_is_foreseen_is_said_at_the_end_and_evaluation_agrees(mp3net, tmp_path, share):
    """The warning is there exactly where the evaluation would have to take training recordings."""
    record(tmp_path / "music", 20, 13.5)
    command = ["prepare", "music", "--out", "data", "--sample-rate", RATE, "--channels", 1, "--min-duration", 1.4]
    command += ["--heldout", share, "--workers", 1]
    (foreseen, closing) = (
        [line for line in mp3net(*command, *dry)[1].splitlines() if line.startswith("warning: ")]
        for dry in (["--dry-run"], [])
    )
    assert foreseen == closing
    sets = real_sets(tmp_path / "data", 64, round(1.4 * RATE), 0)
    fair = not any("too little held-out music" in warning for warning in sets.warnings)
    assert (len(closing) == 0) == fair == (share == 0.4)
    if not fair:
        assert closing[0].endswith("Prepare into another --out with --heldout 0.4")


def test_a_finished_dataset_has_nothing_to_foresee(mp3net, tmp_path):
    record(tmp_path / "music", 3, 2.0)
    command = ["prepare", "music", "--out", "data", "--sample-rate", RATE, "--channels", 1, "--workers", 1]
    assert "a generator will learn so few by heart" in mp3net(*command)[1]
    status, out, _ = mp3net(*command, "--dry-run")
    assert (status, out.splitlines()[-1], "readable header" in out) == (0, "nothing to do. Nothing was written", False)
    assert len(read_index(tmp_path / "data").entries) == 3
    assert mp3net(*command[:3], "half", *command[4:], "--shard", "1/1")[0] == 0
    status, out, _ = mp3net(*command[:3], "half", *command[4:], "--dry-run")
    said = "all is decoded, and the same command without --dry-run finishes the dataset. Nothing was written"
    assert (status, out.splitlines()[-1], "readable header" in out) == (0, said, False)


def test_settings_that_differ_are_called_as_they_are_typed(mp3net, tmp_path):
    record(tmp_path / "music", 3, 2.0)
    command = ["prepare", "music", "--out", "data", "--sample-rate", RATE, "--channels", 1]
    assert mp3net(*command, "--workers", 1)[0] == 0
    for option, said in (
        (["--heldout", 0.3], "--heldout: 0.1 -> 0.3"),
        (["--keep-dc"], "--keep-dc: not given -> given"),
        (["--strict", "--keep-duplicates"], "--strict: not given -> given; --keep-duplicates: not given -> given"),
        (["--trim-silence", "off"], "--trim-silence: -60.0 -> off"),
        (["--min-duration", 2], "--min-duration: 1.0 -> 2.0"),
        (["--level", "original"], "--level: peak -> original"),
        (["--split-seed", 4, "--downmix"], "--downmix: not given -> given; --split-seed: 0 -> 4"),
    ):
        for dry in ([], ["--dry-run"]):
            status, _, err = mp3net(*command, *option, *dry)
            message = (
                f"error: data: holds a dataset of other settings (there -> now): {said}. Give the same as then to go on, or"
            )
            assert (status, err.startswith(message)) == (2, True), err


def test_random_halves_need_no_luck():
    """A dozen pieces of half a minute and more are enough however they are drawn."""
    for seed in range(5):
        lengths = np.random.default_rng(seed).integers(30, 90, 12).tolist()
        assert list(warnings(amount(20 * [60], lengths))) == []


def test_an_unusable_amount_is_no_reason_to_fail():
    assert len(list(warnings(amount([0.1], [0.1])))) == 2
    with pytest.raises(Mp3netError):
        list(warnings(Amount([1], [1], CONFIG, "none such")))
