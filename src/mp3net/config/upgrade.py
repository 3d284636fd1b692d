"""Keeps old files working: configurations of earlier formats, converted to the current one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mp3net.errors import Mp3netError

FORMAT_VERSION = 3

# Where the settings of format 1's section `train` went. `masking_noise` and `masking_grid` became one optional section.
RENAMED = {
    f"train.{key}": f"{section}.{key}"
    for section, keys in {
        "objective": ("discriminator_steps", "gradient_penalty_weight", "gradient_penalty_schedule", "drift_weight"),
        "optimiser": (
            "batch_size", "learning_rate", "learning_rate_schedule", "beta1", "beta2", "ema_half_life_tracks",
            "precision", "train_last_blocks", "seed",
        ),
        "run": (
            "total_tracks", "micro_batch_size", "activation_checkpointing", "log_every_tracks", "sample_every_tracks",
            "checkpoint_every_tracks", "keep_checkpoints", "evaluate_every_tracks", "evaluate_samples",
        ),
    }.items()
    for key in keys
} | {"train.masking_noise": "objective.masking_noise", "train.masking_grid": "objective.masking_noise.grid"}  # fmt: skip


def upgrade(content: Any, path: Path) -> dict[str, Any]:
    """`content` in the current format. Errors: Mp3netError if it is not a configuration or comes from a newer version."""
    version = content.get("format_version") if isinstance(content, dict) else None
    if not isinstance(version, int) or version not in range(1, FORMAT_VERSION + 1):
        raise Mp3netError(
            f"{path}: not a configuration of format {FORMAT_VERSION} or older (format_version = {version!r}); "
            "if it comes from a newer mp3net, upgrade"
        )
    result: dict[str, Any] = {**content, "format_version": FORMAT_VERSION}
    if version == 1:
        result["config"] = _from_1(result.get("config"))
    if version < 3:
        result["config"] = _from_2(result.get("config"), path)
    return result


def _from_1(config: Any) -> Any:
    """Format 1 had one family and one section `train`: its settings are kept, under the paper's kinds."""
    if not isinstance(config, dict) or not all(isinstance(config.get(name, {}), dict) for name in ("model", "train")):
        return config  # not a configuration: its reader says what is wrong
    new = {name: section for name, section in config.items() if name != "train"}
    new["model"] = {"kind": "paper", **config.get("model", {})}
    new["objective"] = {"kind": "wgan_gp"}
    train = dict(config.get("train", {}))
    noise, grid = train.pop("masking_noise", True), train.pop("masking_grid", "exact")
    new["objective"]["masking_noise"] = {"grid": grid} if noise else None
    for name, value in train.items():
        section, _, key = RENAMED.get(f"train.{name}", f"optimiser.{name}").partition(".")
        new.setdefault(section, {})[key] = value
    return new


def _from_2(config: Any, path: Path) -> Any:
    """Format 2 had a head on one carrier per bin, which no preset used: partials took its place. Errors: Mp3netError."""
    if not isinstance(config, dict) or "carrier_head" not in (model := config.get("model", {})):
        return config
    if model["carrier_head"]:
        raise Mp3netError(f"{path}: model.carrier_head = true: such networks were given up; use an mp3net from before this")
    return {**config, "model": {name: value for name, value in model.items() if name != "carrier_head"}}
