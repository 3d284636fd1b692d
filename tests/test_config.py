from __future__ import annotations

import json
import re

import pytest

from mp3net.config import (
    PRESETS,
    AudioConfig,
    AugmentConfig,
    Config,
    DataConfig,
    MaskingNoise,
    Mp3net2Model,
    OptimiserConfig,
    PaperModel,
    Relativistic,
    RunConfig,
    WganGp,
    assignments,
    differing_keys,
    override,
    parse_config,
    preset,
    read_config,
    stored_config,
    valid_keys,
)
from mp3net.errors import Mp3netError
from mp3net.files import write_json


def test_presets_are_what_the_paper_says():
    big, short = PRESETS["piano-95s"], PRESETS["piano-5s"]
    assert (big.model.num_frames, big.model.num_bins, big.audio.channels, big.audio.sample_rate_hz) == (16384, 128, 2, 22016)
    assert big.track_duration_s == pytest.approx(95.26, abs=0.01)
    assert (short.model.num_frames, short.track_duration_s) == (1024, pytest.approx(5.95, abs=0.01))
    assert [big.model.block_channels(i) for i in (0, 3, 4, 5)] == [
        (512, 512, 512),
        (512, 512, 256),
        (256, 128, 64),
        (64, 32, 16),
    ]
    objective, optimiser = big.objective, big.optimiser
    assert (objective.gradient_penalty_weight, objective.drift_weight, optimiser.learning_rate) == (3.0, 0.1, 1e-4)
    assert (optimiser.beta1, optimiser.beta2, optimiser.batch_size) == (0.5, 0.9, 8)
    assert objective.discriminator_steps == 2


def test_unknown_preset_lists_the_valid_ones():
    with pytest.raises(Mp3netError, match=r"^unknown preset 'violin'; the presets are: .*piano-95s.*nano-1.5s"):
        preset("violin")
    for name, alike in (
        ("piano", "piano-95s or piano-5s"),
        ("mp3net2_nano", "mp3net2-nano"),
        ("44k", "mp3net2-44k or music44k-95s"),
    ):
        with pytest.raises(Mp3netError, match=rf"^unknown preset '{name}'; did you mean {alike}\? `mp3net info` lists all$"):
            preset(name)


def test_unknown_key_lists_the_valid_ones():
    meant = "unknown key 'optimiser.batchsize'; did you mean optimiser.batch_size? `mp3net info PRESET` prints all"
    with pytest.raises(Mp3netError, match=f"^config.json: {re.escape(meant)}$"):
        parse_config({"optimiser": {"batchsize": 4}}, "config.json")
    with pytest.raises(Mp3netError, match=f"^--set 'optimiser.batchsize=4': {re.escape(meant)}$"):
        override(Config(), ["optimiser.batchsize=4"])
    with pytest.raises(Mp3netError, match="unknown key 'optimiser.xyz'; the valid keys are: optimiser.batch_size, "):
        override(Config(), ["optimiser.xyz=4"])
    with pytest.raises(Mp3netError, match="optimiser is a section; its keys are: optimiser.batch_size, .*optimiser.seed$"):
        override(Config(), ["optimiser=4"])


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("optimizer", "did you mean optimiser? `mp3net info PRESET` prints all"),
        ("batchsize", "did you mean optimiser.batch_size? `mp3net info PRESET` prints all"),
        (
            "every_tracks",
            "did you mean run.log_every_tracks or run.sample_every_tracks? `mp3net info PRESET` prints all",
        ),
        ("xyz", "the sections are: audio, model, objective, optimiser, augment, run; `mp3net info PRESET` prints all keys"),
    ],
)
def test_unknown_keys_at_the_top_name_the_nearest_or_the_sections(key, meant):
    with pytest.raises(Mp3netError) as refused:
        parse_config({key: {"seed": 3}}, "file")
    assert str(refused.value).startswith(f"file: unknown key {key!r}; ")
    assert meant in str(refused.value)
    assert len(str(refused.value)) < 160
    with pytest.raises(Mp3netError, match=f"--set '{key}=4': unknown key '{key}'; .*{re.escape(meant)}"):
        override(Config(), [f"{key}=4"])


def plain_keys(data: dict, before: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    keys = [(*before, key) for key in data]
    return keys + [found for key in data if isinstance(data[key], dict) for found in plain_keys(data[key], (*before, key))]


@pytest.mark.parametrize("name", ["mp3net2-nano", "nano-1.5s"])
def test_every_refusal_is_in_our_own_words(name):
    """Whatever stands where a setting belongs: its key is named, and no word of the library that checks is passed on."""
    refusals = []
    for path in plain_keys(PRESETS[name].model_dump()):
        for value in (None, True, "x", -1, -1.5, 0.5, 10**12, [], {}, [1, 2], [[1]], [[1, 2, 3]], ["x"], {"a": 1}):
            data = json.loads(json.dumps(PRESETS[name].model_dump()))
            section = data
            for part in path[:-1]:
                section = section[part]
            section[path[-1]] = value
            try:
                parse_config(data, "file")
            except Mp3netError as error:
                refusals.append((path[-1], str(error)))
    assert len(refusals) > 300
    assert [error for key, error in refusals if key not in error and not re.search("num_bins|does not train", error)] == []
    library = re.compile("Input|Field|valid (integer|number|boolean|dictionary|tuple|string)|instance|tag|Tuple|validation")
    assert [error for _, error in refusals if library.search(error)] == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"optimiser": {"batch_size": 0}}, r"^file: optimiser.batch_size: needs a whole number, at least 1 \(found 0\)$"),
        (
            {"optimiser": {"batch_size": "8"}},
            r"^file: optimiser.batch_size: needs a whole number, at least 1 \(found '8'\)$",
        ),
        ({"optimiser": {"beta1": 1}}, r"^file: optimiser.beta1: needs a number, at least 0 and below 1 \(found 1\)$"),
        ({"audio": {"channels": None}}, r"channels: needs a whole number, at least 1 and at most 2 \(found null\)$"),
        ({"run": {"micro_batch_size": 0}}, r"micro_batch_size: needs a whole number, at least 1, or null \(found 0\)$"),
        ({"augment": {"random_sign": 1}}, r"augment.random_sign: needs true or false \(found 1\)$"),
        ({"model": {"kind": "mp3net9"}}, r"^file: model.kind: choose 'paper' or 'mp3net2' \(found 'mp3net9'\)$"),
        ({"audio": {"window": "sin"}}, r"^file: audio.window: choose 'vorbis' or 'sine' \(found 'sin'\)$"),
        (
            {"optimiser": {"learning_rate_schedule": [[1]]}},
            r"learning_rate_schedule.0.1: needs points \[tracks seen, factor\] \(found \[1\]\)$",
        ),
        ({"model": {"num_blocks": 5}}, "audio.num_bins = 128 but the networks give .* = 64"),
        ({"model": {"base_bins": 3}}, "must be even"),
        ([], r"^file: \(whole configuration\): needs settings in braces, \{...\} \(found \[\]\)$"),
        ({"run": 3}, r"^file: run: needs settings in braces, \{...\} \(found 3\)$"),
    ],
)
def test_bad_values_are_named(data, message):
    with pytest.raises(Mp3netError, match=message):
        parse_config(data, "file")


SECTIONS = (
    AudioConfig, AugmentConfig, DataConfig, Mp3net2Model, OptimiserConfig, PaperModel, Relativistic, RunConfig, WganGp,
)  # fmt: skip
REAL_SETTINGS = [
    (section, key)
    for section in SECTIONS
    for key, field in section.model_fields.items()
    if re.search(r"\bfloat\b", str(field.annotation))
]


@pytest.mark.parametrize(("section", "key"), REAL_SETTINGS)
@pytest.mark.parametrize("value", ["Infinity", "-Infinity", "NaN"])
def test_no_setting_may_be_infinite_or_no_number(section, key, value):
    """Python's JSON has these three words."""
    found = json.loads(f"[[8, {value}]]" if key.endswith("_schedule") else value)
    with pytest.raises(Mp3netError, match=rf"^file: {key}\S*: needs a finite number[^()]* \(found -?(inf|nan)\)"):
        parse_config({key: found}, "file", section)


def test_settings_of_the_command_line_must_be_finite():
    assert {"learning_rate", "drift_weight", "gain_db", "min_duration_s"} <= {key for _, key in REAL_SETTINGS}
    with pytest.raises(Mp3netError, match=r"^--set: optimiser.learning_rate: needs a finite number, above 0 \(found inf\)"):
        override(Config(), ["optimiser.learning_rate=Infinity"])
    with pytest.raises(Mp3netError, match="optimiser.learning_rate_schedule.0.1: needs a finite number"):
        override(Config(), ["optimiser.learning_rate_schedule=[[0, NaN]]"])


def test_override_and_differing_keys():
    changed = override(Config(), ["optimiser.batch_size=4", "optimiser.precision=float32", "optimiser.learning_rate=2e-4"])
    assert (changed.optimiser.batch_size, changed.optimiser.precision, changed.optimiser.learning_rate) == (
        4,
        "float32",
        2e-4,
    )
    assert differing_keys(Config(), changed) == [
        "optimiser.batch_size: 8 -> 4",
        "optimiser.learning_rate: 0.0001 -> 0.0002",
        "optimiser.precision: 'bfloat16' -> 'float32'",
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


def test_settings_reach_into_unions_and_options():
    second = PRESETS["mp3net2-nano"]
    keys = valid_keys(Config, second)
    assert {"model.num_parts", "objective.penalty_every", "objective.masking_noise", "objective.masking_noise.grid"} <= {
        *keys
    }
    assert not {"model.num_blocks", "objective.drift_weight"} & {*keys}
    everything = valid_keys()
    assert {"model.num_parts", "model.num_blocks"} <= {*everything}
    assert len(everything) == len({*everything})
    twice = override(second, ["objective.masking_noise=5", "objective.masking_noise.grid=released"])
    assert twice.objective.masking_noise == MaskingNoise(grid="released")
    without = override(second, ["objective.masking_noise=null"])
    assert without.objective.masking_noise is None
    again = override(without, ["objective.masking_noise.grid=released"])
    assert again.objective.masking_noise.grid == "released"
    assert differing_keys(second, again) == ["objective.masking_noise.grid: 'exact' -> 'released'"]
    assert differing_keys(second, PRESETS["nano-1.5s"])[1:3] == [
        "model.kind: 'mp3net2' -> 'paper'",
        "model.num_parts: 1 -> absent",
    ]


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("model.num_parts=0", r"--set: model.num_parts: needs a whole number, at least 1 and at most 100000 \(found 0\)"),
        (
            "model.num_blocks=3",
            "model.num_blocks belongs to the other family .*; the valid keys are: model.kind, model.num_parts",
        ),
        ("train.batch_size=4", "--set 'train.batch_size=4': train.batch_size is now optimiser.batch_size$"),
        ("batch_size=4", "unknown key 'batch_size'; did you mean optimiser.batch_size. `mp3net info PRESET` prints all$"),
        ("run.micro_batch_sise=4", "did you mean run.micro_batch_size. `mp3net info PRESET` prints all$"),
        ("optimiser.batch_size", "expected KEY=VALUE, such as optimiser.batch_size=4"),
        ("objective.masking_noise.grid=loud", "objective.masking_noise.grid: .*'exact' or 'released'"),
        ("model.kind=paper", "the family comes with the preset; choose another --preset"),
        ("objective.kind=wgan_gp", "the family comes with the preset; choose another --preset"),
        (
            "model.view_frames=[8, 12]",
            r"view_frames = \[8, 12\]: with num_doublings = 4 choose from \[4, 8, 16, 32\], each at",
        ),
        ("model.view_frames=[8, 8]", r"view_frames = \[8, 8\].*each at most once"),
        ("model.hold_frames=3", r"hold_frames = 3: with num_doublings = 4 choose from \[1, 2, 4, 8, 16\]"),
        ("model.partials_per_bin=0", r"phase_dim = 32 without partials"),
        ("model.movement_lags=[0, 4]", r"movement_lags = \[0, 4\]: choose from 1 to 63, shorter than a part"),
        ("model.movement_lags=[64]", r"movement_lags = \[64\]: choose from 1 to 63"),
        ("model.movement_lags=[4, 4]", r"each at most once"),
        ("model.loudness_lags=[0, 64]", r"loudness_lags = \[0, 64\]: choose from 1 to 63"),
        ("model.interval_lags=[-1]", r"interval_lags = \[-1\]: choose from 0 to 62, shorter than a part"),
        ("model.interval_lags=[0, 63]", r"interval_lags = \[0, 63\]: choose from 0 to 62"),
        ("model.interval_lags=[0, 0]", r"each at most once"),
        ("model.attention_heads=7", r"deepest width 256 must be a multiple of 4 x attention_heads = 28"),
        ("audio.num_bins=255", "must be even"),
    ],
)
def test_bad_settings_of_the_second_family_are_named(assignment, message):
    with pytest.raises(Mp3netError, match=message):
        override(PRESETS["mp3net2-nano"], [assignment])


def test_unknown_keys_list_those_of_the_family_that_the_file_chose():
    with pytest.raises(Mp3netError, match="model.num_blocks belongs to the other family") as refused:
        parse_config({**PRESETS["mp3net2-nano"].model_dump(), "model": {"kind": "mp3net2", "num_blocks": 3}}, "file")
    assert "model.num_parts" in str(refused.value)
    assert "model.top_channels" not in str(refused.value)
    with pytest.raises(Mp3netError, match="objective.kind: choose 'wgan_gp' or 'relativistic'"):
        parse_config({"objective": {"kind": "wasserstein"}}, "file")


def test_an_objective_that_does_not_train_the_model_is_refused():
    with pytest.raises(Mp3netError, match="objective.kind = wgan_gp does not train model.kind = mp3net2; use relativistic"):
        parse_config({"model": {"kind": "mp3net2"}, "audio": {"num_bins": 16}}, "file")


FORMAT_1 = {
    "audio": {"sample_rate_hz": 8000, "channels": 1, "num_bins": 16, "window": "sine"},
    "model": {"base_frames": 1, "base_bins": 4, "num_blocks": 2, "top_channels": 4, "stddev_group_size": 2},
    "train": {
        "total_tracks": 77, "batch_size": 6, "discriminator_steps": 3, "learning_rate": 3e-4, "beta1": 0.1, "beta2": 0.8,
        "gradient_penalty_weight": 7.0, "drift_weight": 0.3, "learning_rate_schedule": [[0, 1.0], [50, 0.5]],
        "gradient_penalty_schedule": [[9, 2.0]], "masking_noise": True, "masking_grid": "released",
        "ema_half_life_tracks": 5, "precision": "float32", "micro_batch_size": 2, "train_last_blocks": 1,
        "activation_checkpointing": True, "seed": 3, "log_every_tracks": 8, "sample_every_tracks": 9,
        "checkpoint_every_tracks": 10, "keep_checkpoints": 4, "evaluate_every_tracks": 11, "evaluate_samples": 12,
    },
}  # fmt: skip


def test_format_1_is_read_whole(tmp_path):
    """Every setting of the old format arrives under its new name, and nothing else changes."""
    config = stored_config({"format_version": 1, "config": FORMAT_1}, tmp_path)
    objective, optimiser, run = config.objective, config.optimiser, config.run
    assert objective == WganGp(
        discriminator_steps=3, gradient_penalty_weight=7.0, gradient_penalty_schedule=((9, 2.0),), drift_weight=0.3,
        masking_noise=MaskingNoise(grid="released"),
    )  # fmt: skip
    assert optimiser == OptimiserConfig(
        batch_size=6, learning_rate=3e-4, learning_rate_schedule=((0, 1.0), (50, 0.5)), beta1=0.1, beta2=0.8,
        ema_half_life_tracks=5, precision="float32", train_last_blocks=1, seed=3,
    )  # fmt: skip
    assert run == RunConfig(
        total_tracks=77, micro_batch_size=2, activation_checkpointing=True, log_every_tracks=8, sample_every_tracks=9,
        checkpoint_every_tracks=10, keep_checkpoints=4, evaluate_every_tracks=11, evaluate_samples=12,
    )  # fmt: skip
    assert (config.audio.window, config.model.stddev_group_size) == ("sine", 2)
    silent = {**FORMAT_1, "train": {**FORMAT_1["train"], "masking_noise": False}}
    assert stored_config({"format_version": 1, "config": silent}, tmp_path).objective.masking_noise is None


def test_foreign_and_newer_files_are_named(tmp_path):
    for version, config in ((2, None), (1, None), (1, {"model": []}), (1, {"train": 3})):
        with pytest.raises(Mp3netError, match="config.json: "):
            stored_config({"format_version": version, "config": config}, tmp_path / "config.json")
    with pytest.raises(Mp3netError, match="config.json: "):
        stored_config({"format_version": 2}, tmp_path / "config.json")
    for content in ([], {"config": {}}, {"format_version": 99, "config": {}}, {"format_version": "1"}):
        with pytest.raises(Mp3netError, match="config.json: not a configuration of format 3 or older"):
            stored_config(content, tmp_path / "config.json")
    with pytest.raises(Mp3netError, match="unknown key 'optimiser.batchsize'"):
        stored_config({"format_version": 1, "config": {"train": {"batchsize": 4}}}, tmp_path / "config.json")


@pytest.mark.parametrize("name", PRESETS)
def test_assignments_lead_from_one_configuration_to_another(name):
    base = PRESETS[name]
    changed = override(
        base, ["objective.masking_noise=null", "optimiser.learning_rate_schedule=[[0, 1], [9, 0.5]]", "audio.window=sine"]
    )
    assert override(base, assignments(base, changed)) == changed
    assert override(changed, assignments(changed, base)) == base
    assert assignments(base, base) == []


def test_the_carrier_head_of_format_2_is_gone(tmp_path):
    model = {"kind": "mp3net2", "width": 64, "deep_width": 64}
    content = {
        "format_version": 2,
        "config": {"model": {**model, "carrier_head": False}, "objective": {"kind": "relativistic"}},
    }
    config = stored_config(content, tmp_path)
    assert (config.model.width, config.model.partials_per_bin) == (64, 0)
    content["config"]["model"]["carrier_head"] = True
    with pytest.raises(Mp3netError, match=r"model.carrier_head = true: such networks were given up"):
        stored_config(content, tmp_path)
