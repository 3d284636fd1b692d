"""Named directions in the space of latents: what `mp3net sliders` found in a generator, and measured."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

import numpy as np

from mp3net.config import Mp3net2Model, PaperModel
from mp3net.errors import Mp3netError
from mp3net.files import read_json
from mp3net.model.snapshot import Snapshot

FILE = "sliders.json"


@dataclass(frozen=True)
class Sliders:
    """What a song's leading latents are moved by, by name, per unit: the global ones, or all that parts have in common, or
    the whole latent of the paper's networks."""

    directions: Mapping[str, np.ndarray]
    effects: Mapping[str, str]
    """What one unit of each changes, as it was measured: "+1.1 dB"."""
    digest: str
    """First 12 hex digits of the SHA-256 of the file: other directions make other songs."""

    def move(self, z: np.ndarray, amounts: Mapping[str, float]) -> None:
        """Add so much of each direction to the leading numbers of z. Errors: Mp3netError for a name that is not there."""
        for name, amount in amounts.items():
            if name not in self.directions:
                there = ", ".join(self.directions) or "none"
                raise Mp3netError(f"slider {name!r}: this snapshot has {there}")
            direction = self.directions[name]
            z[: len(direction)] += np.float32(amount) * direction


def read_sliders(snapshot: Snapshot) -> Sliders:
    """Those beside a snapshot's weights. Errors: Mp3netError if there are none, the file is damaged, or belongs to other
    weights."""
    model = snapshot.config.model
    sizes = {steered_size(model)} | ({model.common_size} if isinstance(model, Mp3net2Model) else set())
    path = snapshot.folder / FILE
    command = f"mp3net sliders {quote(str(snapshot.run or snapshot.folder))}"
    if not path.exists():
        raise Mp3netError(f"{snapshot.folder}: has no sliders; find them with: {command}{_for_now(snapshot)}")
    content = read_json(path)
    try:
        weights = content["weights"]
        directions = {str(name): np.array(slider["direction"], np.float32) for name, slider in content["sliders"].items()}
        effects = {
            str(name): f"{float(slider['effects'][name][0]):+.2g} {slider['unit']}"
            for name, slider in content["sliders"].items()
        }
        sound = all(one.ndim == 1 and len(one) in sizes and np.isfinite(one).all() for one in directions.values())
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        weights, directions, effects, sound = None, {}, {}, False
    if not sound:
        raise Mp3netError(f"{path}: damaged; find the sliders anew with: {command}")
    if weights != snapshot.digest:
        raise Mp3netError(f"{path}: belongs to other weights; find the sliders anew with: {command}")
    return Sliders(directions, effects, file_digest(path))


def steered_size(model: Mp3net2Model | PaperModel) -> int:
    """How many latents steer the manner of a song."""
    return model.global_dim if isinstance(model, Mp3net2Model) else model.latent_dim


def _for_now(snapshot: Snapshot) -> str:
    """What to know of sliders of a run: each checkpoint has weights of its own, and old ones are deleted."""
    return "   (when the run has ended: they belong to its latest checkpoint alone)" if snapshot.run is not None else ""


def file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
