"""Configurations from plain data, single settings by dotted name, and differences, at any depth and through unions."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from mp3net.config.needs import need, shown
from mp3net.config.sections import Config
from mp3net.config.upgrade import RENAMED, upgrade
from mp3net.errors import Mp3netError
from mp3net.files import read_json


def _choices(annotation: Any) -> list[type]:
    """The classes that a field may hold: through unions, options and annotations."""
    if isinstance(annotation, type) and not get_args(annotation):
        return [annotation]
    return [found for part in get_args(annotation) for found in _choices(part)]


def _chosen(sections: list[type[BaseModel]], value: Any) -> list[type[BaseModel]]:
    """The section that `value` is, or names by its kind; all if it names none."""
    if isinstance(value, BaseModel):
        return [type(value)]
    if isinstance(value, dict) and len(sections) > 1:
        kind = value.get("kind", sections[0].model_fields["kind"].default)
        return [section for section in sections if section.model_fields["kind"].default == kind] or sections
    return sections


def _sections(annotation: Any) -> list[type[BaseModel]]:
    return [choice for choice in _choices(annotation) if issubclass(choice, BaseModel)]


def valid_keys(kind: type[BaseModel] = Config, present: Any = None, prefix: str = "") -> list[str]:
    """Dotted names of all settings below `kind`; with `present`, a configuration or plain data, only of the sections that it
    chooses where there is a choice."""
    keys: list[str] = []
    for name, field in kind.model_fields.items():
        value = present.get(name) if isinstance(present, dict) else getattr(present, name, None)
        for section in _chosen(_sections(field.annotation), value):
            keys += valid_keys(section, value, f"{prefix}{name}.")
        if not _sections(field.annotation) or NoneType in _choices(field.annotation):
            keys.append(prefix + name)
    return list(dict.fromkeys(keys))


def parse_config(data: Any, source: str, kind: type[BaseModel] = Config, names: Mapping[str, str] | None = None) -> Any:
    """Build `kind` from plain data; an Mp3netError lists every problem with its key, value and remedy. `names` gives the
    user's names of some keys."""
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise Mp3netError(_explain(error, data, source, kind, names or {})) from None


def _explain(error: ValidationError, data: Any, source: str, kind: type[BaseModel], names: Mapping[str, str]) -> str:
    lines = []
    for problem in error.errors():
        parts, field = _dotted(problem["loc"], kind)
        key, value = ".".join(parts) or "(whole configuration)", problem["input"]
        if problem["type"] == "extra_forbidden":
            lines.append(_unknown(key, valid_keys(kind, data)))
            continue
        if problem["type"] == "union_tag_invalid":
            key, value = f"{key}.kind", value["kind"]
        types, metadata = ([], []) if field is None else (_choices(field.annotation), field.metadata)
        found = "" if isinstance(value, (dict, BaseModel)) else f" (found {shown(value)})"
        lines.append(f"{names.get(key, key)}: {need(problem, key, types, metadata)}{found}")
    return f"{source}: {'; '.join(lines)}"


def _dotted(location: tuple[int | str, ...], kind: type[BaseModel]) -> tuple[list[str], FieldInfo | None]:
    """A location as users write it, and its field: pydantic names the chosen kind of a union as if it were a key."""
    parts: list[str] = []
    field: FieldInfo | None = None
    sections: list[type[BaseModel]] = [kind]
    for part in map(str, location):
        by_kind = {
            str(section.model_fields["kind"].default): section for section in sections if "kind" in section.model_fields
        }
        if part in by_kind and len(sections) > 1:
            sections = [by_kind[part]]
            continue
        parts.append(part)
        fields = [section.model_fields[part] for section in sections if part in section.model_fields]
        field = fields[0] if fields else None
        sections = [section for one in fields for section in _sections(one.annotation)]
    return parts, field


def override(config: Config, assignments: list[str], source: str = "--set") -> Config:
    """`config` with `section.key=value` assignments applied; values are JSON, or bare words for strings.

    Errors: Mp3netError for an assignment without "=", an unknown key (the one meant or the valid ones are named) or a bad
    value.
    """
    data = config.model_dump()
    known = valid_keys(Config, config)
    for assignment in assignments:
        key, separator, text = assignment.partition("=")
        if key in known and not separator:
            raise Mp3netError(f"{source} {assignment!r}: expected KEY=VALUE, such as {key}=4")
        if key not in known:
            raise Mp3netError(f"{source} {assignment!r}: {_unknown(key, known)}")
        if key.endswith(".kind"):
            raise Mp3netError(f"{source} {assignment!r}: the family comes with the preset; choose another --preset")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        *path, name = key.split(".")
        section = data
        for part in path:
            if not isinstance(section[part], dict):  # an option that was left out
                section[part] = {}
            section = section[part]
        section[name] = value
    config_: Config = parse_config(data, source)
    return config_


def _unknown(key: str, known: list[str]) -> str:
    """What to type instead of an invalid key."""
    if RENAMED.get(key) in known:
        return f"{key} is now {RENAMED[key]}"
    section, _, name = key.rpartition(".")
    below = [other for other in known if other.startswith(f"{key}.")]
    if below:
        return f"{key} is a section; its keys are: {', '.join(below)}"
    siblings = [other for other in known if other.startswith(f"{section}.")] if section else []
    valid = f"the valid keys are: {', '.join(siblings or known)}"
    if key in valid_keys():
        return f"{key} belongs to the other family of networks, not to this one; {valid}"
    near = [other for other in known if other.rpartition(".")[2] == name][:1]
    if not near and siblings:  # the section is right, so only the rest is compared
        rests = [other.removeprefix(f"{section}.") for other in siblings]
        near = [f"{section}.{other}" for other in difflib.get_close_matches(name, rests, n=1)]
    elif not near:
        near = _nearest(key, known)
    if near:
        return f"unknown key {key!r}; did you mean {' or '.join(near)}? `mp3net info PRESET` prints all"
    sections = list(dict.fromkeys(other.partition(".")[0] for other in known if "." in other))
    if siblings or not sections:
        return f"unknown key {key!r}; {valid}"
    return f"unknown key {key!r}; the sections are: {', '.join(sections)}; `mp3net info PRESET` prints all keys"


def _nearest(key: str, known: list[str]) -> list[str]:
    """Up to three known keys or sections whose last part resembles that of `key`, or else the one that does as a whole."""
    sections = [other.rpartition(".")[0] for other in known if "." in other]
    last = {other.rpartition(".")[2]: other for other in [*sections, *known]}
    near = [last[name] for name in difflib.get_close_matches(key.rpartition(".")[2], last, cutoff=0.75)]
    return near or difflib.get_close_matches(key, [*known, *sections], n=1)


def differing_keys(left: BaseModel, right: BaseModel) -> list[str]:
    """Dotted names whose values differ, each with both values: "optimiser.seed: 0 -> 1"."""
    a, b = _flat(left.model_dump()), _flat(right.model_dump())
    return [
        f"{key}: {_shown(a, key)} -> {_shown(b, key)}"
        for key in dict.fromkeys([*a, *b])
        if key not in a or key not in b or a[key] != b[key]
    ]


def _flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in data.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


def _shown(values: Mapping[str, Any], key: str) -> str:
    return repr(values[key]) if key in values else "absent"


def assignments(base: Config, config: Config) -> list[str]:
    """What `override` needs to turn `base` into `config`: "section.key=value" for everything that differs."""
    before, after = _flat(base.model_dump()), _flat(config.model_dump())
    return [f"{key}={json.dumps(value)}" for key, value in after.items() if key not in before or before[key] != value]


def read_config(path: Path) -> Config:
    """Read a configuration: JSON as it stands, or what a run or a snapshot wrote (`format_version` and `config`).

    Errors: Mp3netError names the file and every problem in it.
    """
    content = read_json(path)
    if isinstance(content, dict) and "format_version" in content:
        return stored_config(content, path)
    config: Config = parse_config(content, str(path))
    return config


def stored_config(content: Any, path: Path) -> Config:
    """The configuration in a file written by mp3net, `{"format_version": ..., "config": ...}`, of this or an older format.

    Errors: Mp3netError that names the file, for a newer or unknown format.
    """
    config: Config = parse_config(upgrade(content, path).get("config"), str(path))
    return config
