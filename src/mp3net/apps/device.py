"""Choosing the device to compute on, and opening a model there."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from mp3net.config import Precision
from mp3net.errors import Mp3netError
from mp3net.generation import MP3net

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda", "cuda:N", "mps")
# What Linux has for the GPUs that PyTorch can use: NVIDIA's, AMD's, and either in the Windows subsystem.
GPU_FILES = ("/dev/nvidia0", "/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def choose_device(name: str) -> torch.device:
    """The device called `name`; "auto" takes CUDA, then MPS, then the CPU. Mp3netError if it is unavailable."""
    import torch

    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, there in available.items() if there))
    found = re.fullmatch(r"(cpu|mps|cuda)|(cuda):([0-9]{1,3})", name)
    if found is None:
        raise Mp3netError(f"--device {name!r}: choose one of {', '.join(DEVICES)}; cuda:N is one GPU of several, from 0")
    if not available[found[1] or found[2]]:
        raise Mp3netError(
            f"--device {name}: this machine has none that PyTorch {torch.__version__} can use; try --device auto"
        )
    if found[3] is None:
        return torch.device(name)
    count = torch.cuda.device_count()
    if int(found[3]) >= count:
        there = f"the GPUs of this machine are cuda:0 to cuda:{count - 1}" if count > 1 else "the only GPU here is cuda:0"
        raise Mp3netError(f"--device {name}: {there}")
    return torch.device("cuda", int(found[3]))


def local_device(device: torch.device) -> torch.device:
    """This process's own GPU among those of its machine, if `torchrun` started several processes; otherwise `device`.

    Errors: Mp3netError if a GPU was named for all of them, or there are too few.
    """
    import torch

    if device.type != "cuda":
        return device
    if "LOCAL_RANK" in os.environ:
        number, count = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if device.index is not None:
            raise Mp3netError(
                f"--device {device}: torchrun gives every process a GPU of its own; give --device cuda, and choose GPUs "
                "with CUDA_VISIBLE_DEVICES"
            )
        if number >= count:
            raise Mp3netError(
                f"--device cuda: process {number + 1} of this machine has no GPU of its own; torchrun --nproc-per-node "
                f"{count} uses all of them"
            )
        device = torch.device("cuda", number)
    if device.index is not None:
        torch.cuda.set_device(device)
    return device


def open_model(snapshot: Path | None, device: str, precision: str) -> MP3net:
    """The model of a snapshot, or the bundled one. Errors: Mp3netError for an unknown device or precision too."""
    chosen = next((known for known in PRECISIONS if known == precision), None)
    if chosen is None:
        raise Mp3netError(f"--precision {precision!r}: choose one of {', '.join(PRECISIONS)}")
    if device == "auto" and surely_no_gpu():
        device = "cpu"
    elif device != "cpu":
        device = str(choose_device(device))
    return MP3net.from_pretrained(snapshot, device, chosen)


def surely_no_gpu() -> bool:
    """Whether there can be none, found out without importing PyTorch, which takes longer than a song."""
    return sys.platform == "linux" and not any(Path(name).exists() for name in GPU_FILES)
