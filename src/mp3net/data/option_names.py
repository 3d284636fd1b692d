"""What `mp3net prepare` calls the settings of a dataset."""

from __future__ import annotations

import re

from mp3net.config import DataConfig

# Their names without the units.
OPTIONS = {name: "--" + re.sub("_(hz|s|db|lufs|share)$", "", name).replace("_", "-") for name in DataConfig.model_fields}
# Options that switch a setting off; the others are called like the setting.
SWITCHES = {"remove_dc": "--keep-dc", "drop_duplicates": "--keep-duplicates"}
# There is no option for these.
FIXED = {"silence_peak_db"}


def differing_options(before: DataConfig, now: DataConfig) -> list[str]:
    """What differs, as it is typed: "--heldout: 0.1 -> 0.3"."""
    return [
        f"{name if name in FIXED else SWITCHES.get(name, OPTIONS[name])}: {_typed(name, was)} -> {_typed(name, value)}"
        for name, value in now.model_dump().items()
        if (was := getattr(before, name)) != value
    ]


def _typed(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "given" if value != (name in SWITCHES) else "not given"
    return "off" if value is None else str(value)
