"""Choosing the device to compute on, and opening a model there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import get_args

import torch

from mp3net.errors import Mp3netError
from mp3net.generation import MP3net, Precision

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def choose_device(name: str) -> torch.device:
    """The device called `name`; "auto" takes CUDA, then MPS, then the CPU. Mp3netError if it is unavailable."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, there in available.items() if there))
    if name not in available:
        raise Mp3netError(f"--device {name!r}: choose one of {', '.join(DEVICES)}")
    if not available[name]:
        raise Mp3netError(
            f"--device {name}: this machine has none that PyTorch {torch.__version__} can use; try --device auto"
        )
    return torch.device(name)


def local_device(device: torch.device) -> torch.device:
    """This process's own GPU among those of its machine, if `torchrun` started several processes."""
    if device.type != "cuda" or "LOCAL_RANK" not in os.environ:
        return device
    own = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(own)
    return own


def open_model(snapshot: Path | None, device: str, precision: str) -> MP3net:
    """The model of a snapshot, or the bundled one. Errors: Mp3netError for an unknown device or precision too."""
    chosen = next((known for known in PRECISIONS if known == precision), None)
    if chosen is None:
        raise Mp3netError(f"--precision {precision!r}: choose one of {', '.join(PRECISIONS)}")
    return MP3net.from_pretrained(snapshot, str(choose_device(device)), chosen)
