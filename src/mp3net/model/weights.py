"""Weights in files: safetensors, which cannot run code. Reading them needs no PyTorch before they fill its networks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open

from mp3net.errors import Mp3netError

if TYPE_CHECKING:
    from torch import Tensor, nn

# How files name what the networks compute in, and what shared files may be packed in.
WIDENED = {"float16": "float32"}


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors in the default memory format, whatever format they are used in."""
    from safetensors.torch import save_file

    save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, path)
    path.chmod(0o644)  # the library creates files that only their owner may read; these are meant to be shared


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file; Mp3netError when it is missing, truncated or not a safetensors file."""
    return _read(path, "pt")


def load_arrays(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Read float32 weights of these names and shapes as arrays; half precision is widened.

    Errors: Mp3netError as `load_tensors`, and one that lists what is missing, unexpected or of another shape or kind.
    """
    arrays = _read(path, "np")
    _compare(path, {name: (shape, "float32") for name, shape in shapes.items()}, arrays)
    return {name: value.astype(np.float32, copy=False) for name, value in arrays.items()}


def load_weights(network: nn.Module, path: Path, fresh: tuple[str, ...] = ()) -> None:
    """Copy the weights of a file into `network`, keeping its memory format and device; half precision is widened. A network
    without data (of the device "meta") takes the file's as its own: so a strange configuration takes no memory.
    What belongs to the modules `fresh` of the network stays as it is, whatever the file has of it.

    Errors: Mp3netError that lists what is missing, unexpected or of another shape or kind.
    """
    wanted, tensors = network.state_dict(), load_tensors(path)
    if fresh:
        begins = tuple(f"{module}." for module in fresh)
        wanted, tensors = (
            {name: value for name, value in found.items() if not name.startswith(begins)} for found in (wanted, tensors)
        )
    _compare(path, {name: (tuple(value.shape), _kind(value)) for name, value in wanted.items()}, tensors)
    without_data = any(value.is_meta for value in wanted.values())
    converted = {name: value.to(wanted[name].dtype) for name, value in tensors.items()}
    network.load_state_dict(converted, strict=not fresh, assign=without_data)


def _read(path: Path, framework: str) -> dict[str, Any]:
    try:
        with safe_open(path, framework) as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise Mp3netError(f"{path}: no such file") from None
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError) as error:
        raise Mp3netError(f"{path}: not a complete safetensors file: {error}") from None


def _kind(value: Any) -> str:
    return str(value.dtype).removeprefix("torch.")


def _compare(path: Path, wanted: Mapping[str, tuple[tuple[int, ...], str]], found: Mapping[str, Any]) -> None:
    problems = [f"missing {name}" for name in wanted.keys() - found.keys()]
    problems += [f"unexpected {name}" for name in found.keys() - wanted.keys()]
    for name, value in found.items():
        if name in wanted:
            shape, kind = tuple(value.shape), WIDENED.get(_kind(value), _kind(value))
            if (shape, kind) != wanted[name]:
                problems.append(f"{name}: {_kind(value)} {shape} instead of {wanted[name][1]} {wanted[name][0]}")
    if problems:
        shown = "; ".join(sorted(problems)[:4]) + (f"; and {len(problems) - 4} more" if len(problems) > 4 else "")
        raise Mp3netError(f"{path}: does not fit the configuration beside it: {shown}")
