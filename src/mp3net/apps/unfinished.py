"""What `mp3net info` says of folders that are not, or not yet, made by mp3net: what there is, and which command is next."""

from __future__ import annotations

import hashlib
import shlex
from pathlib import Path

from mp3net.config import PRESETS, DataConfig, parse_config
from mp3net.data.index import STAGING
from mp3net.data.option_names import OPTIONS, SWITCHES
from mp3net.data.staging import PLAN_FILE
from mp3net.errors import Mp3netError
from mp3net.files import read_json
from mp3net.words import counted

RECORDINGS = {
    ".aac", ".aif", ".aiff", ".au", ".caf", ".flac", ".m4a", ".m4b", ".mka", ".mp3", ".mp4", ".oga", ".ogg", ".opus", ".wav",
    ".wave", ".wma",
}  # fmt: skip
NO_SPLITS = hashlib.sha256(b"[]").hexdigest()
"""What the plan of a preparation without splits of its own holds as `fixed_splits`."""


def describe_unfinished(out: Path) -> str:
    """How far an unfinished preparation has come, and the command that goes on with it."""
    done = sum(note.name != PLAN_FILE for note in (out / STAGING).glob("*.json"))
    return (
        f"unfinished dataset {out}: {counted(done, 'file')} decoded or found unusable so far. If nothing is at work there, "
        f"this goes on (with --title, --source and --licence as before, if they were given):\n{_going_on(out)}"
    )


def _going_on(out: Path) -> str:
    """The command as far as the plan of the preparation tells; what it does not tell is named."""
    plan = out / STAGING / PLAN_FILE
    try:
        noted = read_json(plan)
        folder, whole = str(noted["folder"]), noted["fixed_splits"] == NO_SPLITS
        config = parse_config(noted["config"], str(plan), DataConfig)
    except (Mp3netError, KeyError, TypeError):
        return "the same `mp3net prepare` command as before"
    place = [folder] if whole else ["--maestro", folder]
    command = shlex.join(["mp3net", "prepare", *place, "--out", str(out), *_options(config)])
    return command if whole else f"{command}   (and --years, if it was given before)"


def _options(config: DataConfig) -> list[str]:
    """The options of `mp3net prepare` that give `config`."""
    for name, preset in PRESETS.items():
        served = {
            "sample_rate_hz": preset.audio.sample_rate_hz, "channels": preset.audio.channels,
            "min_duration_s": preset.track_samples / preset.audio.sample_rate_hz,
        }  # fmt: skip
        if served == config.model_dump(include=set(served)):
            return ["--preset", name, *_differing(config, DataConfig.model_validate(served))]
    return _differing(config, DataConfig())


def _differing(config: DataConfig, base: DataConfig) -> list[str]:
    options: list[str] = []
    for name, value in config.model_dump().items():
        if value == getattr(base, name):
            continue
        if isinstance(value, bool):
            options.append(SWITCHES.get(name, OPTIONS[name]))
        else:
            options += [OPTIONS[name], "off" if value is None else str(value)]
    return options


def holds_recordings(folder: Path) -> bool:
    """Whether some file below `folder` is named like a recording."""
    return any(path.suffix.lower() in RECORDINGS for path in folder.rglob("*"))
