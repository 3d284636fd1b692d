"""The run directory: full training states, saved whole or not at all, verified when read, rotated.

RUN/run.json                              configuration and fingerprint of the data
RUN/checkpoints/tracks-000000016000/      state.json, training.safetensors, snapshot/
RUN/metrics.jsonl, RUN/tensorboard/, RUN/samples/
"""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn

from mp3net.config import FORMAT_VERSION as CONFIG_FORMAT
from mp3net.config import Config, differing_keys, stored_config
from mp3net.errors import Mp3netError
from mp3net.files import read_json, write_json
from mp3net.model.build import Networks
from mp3net.model.snapshot import CHECKPOINTS_FOLDER, SNAPSHOT_FOLDER, load_tensors, save_snapshot, save_tensors
from mp3net.training.ema import EMA
from mp3net.training.optimiser import KerasAdam

FORMAT_VERSION = 1
STATE_FILE = "state.json"
TENSORS_FILE = "training.safetensors"


@dataclass
class TrainingState:
    """Everything that training changes. Random numbers are addressed by `tracks_seen`, so it is their whole state."""

    networks: Networks
    generator_optimiser: KerasAdam
    discriminator_optimiser: KerasAdam
    ema: EMA
    tracks_seen: int = 0

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name."""
        found = {f"ema/{name}": value for name, value in self.ema.weights.items()}
        for kind, network, optimiser in self._parts():
            found |= {f"{kind}/constant/{name}": value for name, value in constants(network).items()}
            for name, parameter in network.named_parameters():
                found[f"{kind}/weight/{name}"] = parameter
                for key, value in optimiser.state[parameter].items():
                    found[f"{kind}/adam/{key}/{name}"] = value
        return found

    @torch.no_grad()
    def restore(self, tensors: dict[str, Tensor], tracks_seen: int) -> None:
        """Copy a saved state into the networks, keeping their memory format and device.

        Errors: KeyError or RuntimeError when the tensors are not those of these networks.
        """
        for name, value in self.ema.weights.items():
            value.copy_(tensors[f"ema/{name}"])
        for kind, network, optimiser in self._parts():
            for name, value in constants(network).items():
                value.copy_(tensors[f"{kind}/constant/{name}"])
            for name, parameter in network.named_parameters():
                parameter.copy_(tensors[f"{kind}/weight/{name}"])
                if f"{kind}/adam/step/{name}" not in tensors:
                    continue
                moments = {key: torch.zeros_like(parameter) for key in ("exp_avg", "exp_avg_sq")}
                for key, moment in moments.items():
                    moment.copy_(tensors[f"{kind}/adam/{key}/{name}"])
                optimiser.state[parameter] = {"step": tensors[f"{kind}/adam/step/{name}"].clone(), **moments}
        self.tracks_seen = tracks_seen

    def _parts(self) -> list[tuple[str, nn.Module, KerasAdam]]:
        return [
            ("generator", self.networks.generator, self.generator_optimiser),
            ("discriminator", self.networks.discriminator, self.discriminator_optimiser),
        ]


def constants(network: nn.Module) -> dict[str, Tensor]:
    """What a network keeps beside its parameters, such as levels measured in the data."""
    parameters = dict(network.named_parameters())
    return {name: value for name, value in network.state_dict().items() if name not in parameters}


# One that has just been stopped may still be saving.
LOCK_WAIT_S = 3.0


class RunDirectory:
    """Where one training lives. Opening it with another configuration or other data is refused.

    With `touch` off nothing is written or cleared away: a training may be at work there.
    """

    def __init__(self, path: Path, config: Config, data_fingerprint: str, touch: bool = True) -> None:
        self.path = path
        self.config = config
        self.checkpoints = path / CHECKPOINTS_FOLDER
        note = path / "run.json"
        if path.exists() and not path.is_dir():
            raise Mp3netError(f"{path}: is a file; name a folder for the run")
        if note.exists() and self.saved():  # a run that never got to a checkpoint may start again with other settings
            self._check_same(note, data_fingerprint)
        elif not note.exists() and path.exists() and any(path.iterdir()):
            raise Mp3netError(f"{path}: is not empty and holds no run; name another --out")
        if not touch:
            return
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            self._lock()
            content = {"format_version": CONFIG_FORMAT, "config": config.model_dump(), "data_sha256": data_fingerprint}
            write_json(note, content)
        except OSError as error:
            raise Mp3netError(f"{path}: cannot be written: {error.strerror}") from None
        for leftover in self.checkpoints.glob(".*.partial"):
            shutil.rmtree(leftover)

    def _lock(self) -> None:
        """Keep others out until this process ends, however it ends; one that is just ending is waited for."""
        self._held = FileLock(self.path / "lock", timeout=LOCK_WAIT_S, is_singleton=True)
        try:
            self._held.acquire()
        except Timeout:
            raise Mp3netError(
                f"{self.path}: another training is at work there; name another --out, or stop that one"
            ) from None

    def _check_same(self, note: Path, data_fingerprint: str) -> None:
        content = read_json(note)
        before = stored_config(content, note)
        changed = [line for line in differing_keys(before, self.config) if not line.startswith("run.")]
        if changed:
            raise Mp3netError(
                f"{self.path}: holds a run of another configuration; differing: {'; '.join(changed)}. "
                "Give the old values to go on, or another --out to start anew"
            )
        if content.get("data_sha256") != data_fingerprint:
            raise Mp3netError(f"{self.path}: this run was trained on another dataset; name that one, or another --out")

    def saved(self) -> list[Path]:
        """Complete checkpoints, oldest first."""
        return saved_checkpoints(self.path)

    def save(self, state: TrainingState, metadata: dict[str, Any]) -> Path:
        """Write a checkpoint with its snapshot, then drop the oldest ones.

        Errors: Mp3netError where the disk refuses; the earlier checkpoints stay.
        """
        target = self.checkpoints / f"tracks-{state.tracks_seen:012d}"
        partial = self.checkpoints / f".{target.name}.partial"
        try:
            partial.mkdir()
            save_tensors(partial / TENSORS_FILE, state.tensors())
            generator = state.ema.weights | constants(state.networks.generator)
            discriminator = state.networks.discriminator.state_dict()
            save_snapshot(partial / SNAPSHOT_FOLDER, self.config, generator, discriminator, metadata)
            digests = {TENSORS_FILE: _sha256(partial / TENSORS_FILE)}
            content = {"format_version": FORMAT_VERSION, "tracks_seen": state.tracks_seen, "sha256": digests}
            write_json(partial / STATE_FILE, content)
            _sync(partial)
            if target.exists():
                shutil.rmtree(target)
            partial.rename(target)
            _sync_folder(self.checkpoints)
        except OSError as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise Mp3netError(
                f"{target}: the checkpoint cannot be written: {error}; the earlier ones are kept"
            ) from None
        for old in self.saved()[: -self.config.run.keep_checkpoints]:
            shutil.rmtree(old)
        return target

    def restore(self, state: TrainingState) -> tuple[Path | None, list[str]]:
        """Load the newest sound checkpoint. Returns it, or None for a fresh run, and what was wrong with newer ones.

        Errors: Mp3netError when there are checkpoints and none is sound.
        """
        problems: list[str] = []
        for path in reversed(self.saved()):
            try:
                content = read_json(path / STATE_FILE)
                if _sha256(path / TENSORS_FILE) != content["sha256"][TENSORS_FILE]:
                    raise Mp3netError(f"{path / TENSORS_FILE}: its content has changed since it was saved")
                state.restore(load_tensors(path / TENSORS_FILE), int(content["tracks_seen"]))
                return path, problems
            except (Mp3netError, OSError, KeyError, TypeError, RuntimeError) as error:
                problems.append(f"{path}: not usable: {error}")
        if problems:
            raise Mp3netError(f"no checkpoint of {self.path} can be loaded: {'; '.join(problems)}")
        return None, problems


def saved_checkpoints(run: Path) -> list[Path]:
    """Complete checkpoints of a run directory, oldest first; none where it does not exist."""
    return sorted((run / CHECKPOINTS_FOLDER).glob("tracks-*"))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(folder: Path) -> None:
    """Force the files of a folder to disk before its rename makes them count."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
