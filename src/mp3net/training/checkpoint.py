"""The run directory: full training states, written atomically, verified when read, and rotated.

RUN/run.json                              configuration and its origin
RUN/checkpoints/tracks-000000016000/      state.json, training.safetensors, snapshot/
RUN/metrics.jsonl, RUN/tensorboard/, RUN/samples/
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

from mp3net.config import differing_keys
from mp3net.errors import Mp3netError
from mp3net.files import PARTIAL, read_json, replacing, write_json
from mp3net.locks import Lock
from mp3net.model.snapshot import CHECKPOINTS_FOLDER, SNAPSHOT_FOLDER, save_snapshot
from mp3net.model.weights import load_tensors, save_tensors
from mp3net.training.origin import RUN_FILE, Origin, read_origin
from mp3net.training.state import TrainingState

FORMAT_VERSION = 1
STATE_FILE = "state.json"
TENSORS_FILE = "training.safetensors"


class RunDirectory:
    """The directory of one training run. Refuses to resume with another configuration or dataset.

    With `touch=False` nothing is written or deleted, because another run may be in progress there.
    """

    def __init__(self, path: Path, origin: Origin, touch: bool = True) -> None:
        self.path = path
        self.origin = origin
        self.checkpoints = path / CHECKPOINTS_FOLDER
        note = path / RUN_FILE
        if path.exists() and not path.is_dir():
            raise Mp3netError(f"{path}: is a file; name a folder for the run")
        if note.exists() and self.saved():  # a run without a checkpoint may start again with other settings
            self._check_same()
        elif not note.exists() and path.exists() and any(path.iterdir()):
            raise Mp3netError(f"{path}: is not empty and holds no run; name another --out")
        if not touch:
            return
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(path, "mp3net train", reentrant=True).acquire()  # until this process ends
            if not self._finished():  # a command that has nothing to do leaves what reproduces the run as it is
                write_json(note, origin.to_json())
        except OSError as error:
            raise Mp3netError(f"{path}: cannot be written: {error.strerror}") from None
        for leftover in self.checkpoints.glob(f".*{PARTIAL}"):
            shutil.rmtree(leftover)

    def _finished(self) -> bool:
        return saved_tracks(self.path) >= self.origin.config.run.total_tracks

    def _check_same(self) -> None:
        before = read_origin(self.path)
        changed = [line for line in differing_keys(before.config, self.origin.config) if not line.startswith("run.")]
        if changed:
            raise Mp3netError(
                f"{self.path}: holds a run of another configuration; differing: {'; '.join(changed)}. "
                "Give the old values to go on, or another --out to start anew"
            )
        allowed = {self.origin.data_sha256, *(earlier["data_sha256"] for earlier in self.origin.earlier_data)}
        if before.data_sha256 not in allowed:
            raise Mp3netError(
                f"{self.path}: this run was trained on another dataset, or on this one before it changed. To go on with the "
                f"data of now, add --data-changed; to begin a new run with its weights: --init-from {self.path} --out NEW"
            )

    def saved(self) -> list[Path]:
        """Complete checkpoints, oldest first."""
        return saved_checkpoints(self.path)

    def save(self, state: TrainingState, metadata: dict[str, Any]) -> Path:
        """Write a checkpoint with its snapshot, then delete the oldest ones.

        Errors: Mp3netError if the write fails; the earlier checkpoints are kept.
        """
        target = self.checkpoints / f"tracks-{state.tracks_seen:012d}"
        try:
            with replacing(target) as unfinished:
                self._write(unfinished, state, metadata)
                if target.exists():
                    shutil.rmtree(target)
            _sync_folder(self.checkpoints)
        except OSError as error:
            raise Mp3netError(f"{target}: the checkpoint cannot be written: {error}; the earlier ones are kept") from None
        for old in self.saved()[: -self.origin.config.run.keep_checkpoints]:
            shutil.rmtree(old)
        return target

    def _write(self, folder: Path, state: TrainingState, metadata: dict[str, Any]) -> None:
        folder.mkdir()
        save_tensors(folder / TENSORS_FILE, state.tensors())
        generator, discriminator = state.ema.network.state_dict(), state.networks.discriminator.state_dict()
        save_snapshot(folder / SNAPSHOT_FOLDER, self.origin.config, generator, discriminator, metadata)
        digests = {TENSORS_FILE: _sha256(folder / TENSORS_FILE)}
        content = {"format_version": FORMAT_VERSION, "tracks_seen": state.tracks_seen, "sha256": digests}
        write_json(folder / STATE_FILE, content)
        _sync(folder)

    def restore(self, state: TrainingState) -> tuple[Path | None, list[str]]:
        """Load the newest intact checkpoint. Returns its path, or None for a fresh run, and what was wrong with newer ones.

        Errors: Mp3netError if there are checkpoints but none is intact.
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
    """Complete checkpoints of a run directory, oldest first; empty if it does not exist."""
    return sorted((run / CHECKPOINTS_FOLDER).glob("tracks-*"))


def saved_tracks(run: Path) -> int:
    """Tracks seen at the newest checkpoint of a run directory; 0 if there is none."""
    saved = saved_checkpoints(run)
    return int(saved[-1].name.rpartition("-")[2]) if saved else 0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(folder: Path) -> None:
    """Flush the files of a folder to disk before its rename makes them visible."""
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
