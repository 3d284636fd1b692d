"""What is needed to reproduce a run: `RUN/run.json`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mp3net import __version__
from mp3net.config import FORMAT_VERSION, Config, stored_config
from mp3net.files import read_json

RUN_FILE = "run.json"


@dataclass(frozen=True)
class Origin:
    """The configuration and its origin: the dataset's fingerprint and location, the name of the preset if one was given, and
    where the initial weights came from. `earlier_data` has the fingerprints of datasets that the run was trained on before,
    each with the number of tracks up to which."""

    config: Config
    data_sha256: str
    data: str = ""
    preset: str | None = None
    init_from: str = ""
    init_weights: str = ""
    version: str = __version__
    earlier_data: tuple[dict[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        facts = {name: value for name, value in vars(self).items() if name != "config"}
        return {"format_version": FORMAT_VERSION, "config": self.config.model_dump(), **facts}


def read_origin(run: Path) -> Origin:
    """The origin of a run. Errors: Mp3netError that names the file."""
    content = read_json(run / RUN_FILE)
    config = stored_config(content, run / RUN_FILE)
    names = ("data_sha256", "data", "preset", "init_from", "init_weights", "version")
    facts = {"data_sha256": "", "version": ""} | {name: content[name] for name in names if name in content}
    return Origin(config, **facts, earlier_data=tuple(content.get("earlier_data", ())))


def find_run(path: Path) -> Path | None:
    """The run directory at `path`, or the one whose checkpoint or snapshot is at `path`; None if there is none."""
    places = [path, *path.resolve().parents[:3]]
    return next((place for place in places if (place / RUN_FILE).is_file()), None)
