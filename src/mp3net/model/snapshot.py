"""Snapshots: what users share. A folder with config.json and safetensors; nothing in it can run code.

config.json               format_version, config, metadata (tracks seen, data, licence, metrics ...)
generator.safetensors     averaged (EMA) weights, what users hear
discriminator.safetensors optional: lets a later training start from both networks

Weights are float32, or float16 where a snapshot was packed for sharing: rounded by at most one part in 2,000, half the size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mp3net.config import FORMAT_VERSION, Config, stored_config
from mp3net.errors import Mp3netError
from mp3net.files import read_json, write_json
from mp3net.model.weights import load_arrays, load_weights, save_tensors

if TYPE_CHECKING:
    from torch import Tensor, nn

CONFIG_FILE = "config.json"
GENERATOR_FILE = "generator.safetensors"
DISCRIMINATOR_FILE = "discriminator.safetensors"
CHECKPOINTS_FOLDER = "checkpoints"
SNAPSHOT_FOLDER = "snapshot"


@dataclass(frozen=True)
class Snapshot:
    """A snapshot's place, configuration and metadata; weights are read on demand."""

    folder: Path
    config: Config
    metadata: dict[str, Any]

    @property
    def run(self) -> Path | None:
        """The run directory, if this is its latest snapshot."""
        run = self.folder.parents[2] if len(self.folder.parents) > 2 else None
        if run is None or self.folder.parents[1].name != CHECKPOINTS_FOLDER or self.folder.name != SNAPSHOT_FOLDER:
            return None
        return run if _latest_of_run(run) == self.folder else None

    def load_generator(self, network: nn.Module) -> None:
        """Fill `network`; Mp3netError when the file is damaged or belongs to another configuration."""
        load_weights(network, self.folder / GENERATOR_FILE)

    def generator_arrays(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
        """The generator's weights by name, float32; Mp3netError if they are not of these names and shapes."""
        return load_arrays(self.folder / GENERATOR_FILE, shapes)

    def load_discriminator(self, network: nn.Module, fresh: tuple[str, ...] = ()) -> None:
        """Fill `network`, but for its modules `fresh`; Mp3netError if the snapshot has no discriminator or another one."""
        load_weights(network, self.folder / DISCRIMINATOR_FILE, fresh)

    @property
    def digest(self) -> str:
        """First 12 hex digits of the SHA-256 of the generator's weights: tells which model made a song."""
        return hashlib.sha256((self.folder / GENERATOR_FILE).read_bytes()).hexdigest()[:12]


def save_snapshot(
    folder: Path,
    config: Config,
    generator: Mapping[str, Tensor],
    discriminator: Mapping[str, Tensor] | None,
    metadata: dict[str, Any],
) -> None:
    """Create `folder` with a snapshot in it; the caller makes the write atomic by renaming a folder above."""
    folder.mkdir(parents=True)
    content = {"format_version": FORMAT_VERSION, "config": config.model_dump(), "metadata": metadata}
    write_json(folder / CONFIG_FILE, content)
    save_tensors(folder / GENERATOR_FILE, generator)
    if discriminator is not None:
        save_tensors(folder / DISCRIMINATOR_FILE, discriminator)


def open_snapshot(path: Path) -> Snapshot:
    """The snapshot at `path`, that of the checkpoint at `path`, or the latest one of the run directory at `path`.

    Errors: Mp3netError for a path that is none of these, a damaged configuration or a newer format.
    """
    folder = _latest_of_run(path) if (path / CHECKPOINTS_FOLDER).is_dir() else path
    if (path / SNAPSHOT_FOLDER / CONFIG_FILE).is_file():
        folder = path / SNAPSHOT_FOLDER
    if not (folder / CONFIG_FILE).is_file():
        what = "no such folder" if not path.exists() else f"holds neither {CONFIG_FILE} nor {CHECKPOINTS_FOLDER}/"
        what = "is a file" if path.is_file() else what
        raise Mp3netError(f"{path}: {what}; expected a snapshot, or a run directory that `mp3net train` wrote")
    content = read_json(folder / CONFIG_FILE)
    config = stored_config(content, folder / CONFIG_FILE)
    metadata = content.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise Mp3netError(f"{folder / CONFIG_FILE}: metadata: needs entries in braces, {{...}} (found {metadata!r})")
    return Snapshot(folder, config, metadata)


def _latest_of_run(run: Path) -> Path:
    found = sorted((run / CHECKPOINTS_FOLDER).glob(f"tracks-*/{SNAPSHOT_FOLDER}"))
    if not found:
        raise Mp3netError(f"{run}: this run has not saved a checkpoint; wait for its first, or train again if it has ended")
    return found[-1]
