from __future__ import annotations

import pytest

from mp3net.config import PRESETS, Config, differing_keys, override, parse_config, preset, read_config
from mp3net.errors import Mp3netError
from mp3net.files import write_json


def test_presets_are_what_the_paper_says():
    big, short = PRESETS["piano-95s"], PRESETS["piano-5s"]
    assert (big.model.num_frames, big.model.num_bins, big.audio.channels, big.audio.sample_rate_hz) == (
        16384,
        128,
        2,
        22016,
    )
    assert big.track_duration_s == pytest.approx(95.26, abs=0.01)
    assert (short.model.num_frames, short.track_duration_s) == (1024, pytest.approx(5.95, abs=0.01))
    assert [big.model.block_channels(i) for i in (0, 3, 4, 5)] == [
        (512, 512, 512),
        (512, 512, 256),
        (256, 128, 64),
        (64, 32, 16),
    ]
    train = big.train
    assert (train.gradient_penalty_weight, train.drift_weight, train.learning_rate) == (3.0, 0.1, 1e-4)
    assert (train.beta1, train.beta2, train.batch_size, train.discriminator_steps) == (0.5, 0.9, 8, 2)


def test_unknown_preset_lists_the_valid_ones():
    with pytest.raises(Mp3netError, match=r"unknown preset 'piano'.*piano-95s.*nano-1.5s"):
        preset("piano")


def test_unknown_key_lists_the_valid_ones():
    with pytest.raises(Mp3netError, match=r"unknown key 'train.batchsize'; the valid keys are: .*train.batch_size"):
        parse_config({"train": {"batchsize": 4}}, "config.json")
    with pytest.raises(Mp3netError, match=r"valid keys are: .*train.batch_size"):
        override(Config(), ["train.batchsize=4"])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"train": {"batch_size": 0}}, r"train.batch_size: .*greater than or equal to 1 \(found 0\)"),
        ({"train": {"batch_size": "8"}}, "train.batch_size: .*integer"),
        ({"model": {"num_blocks": 5}}, "audio.num_bins = 128 but the networks give .* = 64"),
        ({"model": {"base_bins": 3}}, "must be even"),
        ([], "whole configuration"),
    ],
)
def test_bad_values_are_named(data, message):
    with pytest.raises(Mp3netError, match=message):
        parse_config(data, "file")


def test_override_and_differing_keys():
    changed = override(Config(), ["train.batch_size=4", "train.precision=float32", "train.learning_rate=2e-4"])
    assert (changed.train.batch_size, changed.train.precision, changed.train.learning_rate) == (4, "float32", 2e-4)
    assert differing_keys(Config(), changed) == [
        "train.batch_size: 8 -> 4",
        "train.learning_rate: 0.0001 -> 0.0002",
        "train.precision: 'bfloat16' -> 'float32'",
    ]


def test_json_round_trip_and_damage(tmp_path):
    path = tmp_path / "config.json"
    for config in PRESETS.values():
        write_json(path, config.model_dump())
        assert read_config(path) == config
    path.write_text('{"audio": ')
    with pytest.raises(Mp3netError, match=r"config.json: cannot be read as JSON"):
        read_config(path)
    with pytest.raises(Mp3netError, match="no such file"):
        read_config(tmp_path / "other.json")
