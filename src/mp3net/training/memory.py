"""Peak memory, available memory, and keeping freed memory."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from mp3net.machine import available_memory_bytes

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


# From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> None:
    """Make this process keep the memory it frees, in large pages, instead of returning it to the system.

    Every training step allocates the same gigabytes, and fresh pages take more time than many layers (docs/results.md). Does
    nothing if the C library has no such settings. Call it before the first tensor is created.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # PyTorch then asks for large pages
    malloc = _c_library()
    if malloc is not None:
        malloc.mallopt(_M_MMAP_MAX, 0)
        malloc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        malloc.mallopt(_M_TOP_PAD, 2**28)


def _c_library() -> ctypes.CDLL | None:
    """The C library of this process if it is glibc, otherwise None."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if library is not None and hasattr(library, "malloc_trim") else None


@dataclass
class MemoryPeak:
    """Filled in when the measured block ends. On a CPU it covers the whole process, including imports and weights."""

    peak_bytes: int = 0


@contextmanager
def peak_memory(device: torch.device) -> Iterator[MemoryPeak]:
    """Measure the block's peak: memory allocated on a GPU, or resident memory of the process on a CPU.

    If the system cannot reset its record of the peak, this is the peak since the start of the process.
    """
    found = MemoryPeak()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif _CLEAR.exists():
        malloc = _c_library()
        if malloc is not None:
            malloc.malloc_trim(0)  # memory that was freed but kept does not count
        with suppress(OSError):
            _CLEAR.write_text("5")  # resets the peak to what is resident now
    yield found
    found.peak_bytes = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _resident_peak()


def _resident_peak() -> int:
    if _STATUS.exists():
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def available_bytes(device: torch.device) -> int | None:
    """Total memory that this process could use on the GPU, or on the machine, less what others use; None if unknown."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device)
    available = available_memory_bytes() if device.type == "cpu" else None
    return available + _resident_now() if available is not None else None


def _resident_now() -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024
