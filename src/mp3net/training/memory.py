"""How much memory something takes at its peak."""

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

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


# From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> None:
    """Let this process keep the memory it frees, in large pages, instead of giving it back to the system and asking again.

    A training step allocates the same gigabytes each time, and fresh pages cost more than many layers compute
    (docs/results.md). Does nothing where the C library has no such settings. To be called before the first tensor is made.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # PyTorch then asks for large pages
    malloc = _c_library()
    if malloc is not None:
        malloc.mallopt(_M_MMAP_MAX, 0)
        malloc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        malloc.mallopt(_M_TOP_PAD, 2**28)


def _c_library() -> ctypes.CDLL | None:
    """The C library of this process, where it is glibc."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if library is not None and hasattr(library, "malloc_trim") else None


@dataclass
class MemoryPeak:
    """Filled when the measured block ends. On a CPU it is the whole process, imports and weights included."""

    peak_bytes: int = 0


@contextmanager
def peak_memory(device: torch.device) -> Iterator[MemoryPeak]:
    """Measure the block's peak: allocated memory of a GPU, resident memory of the process on a CPU.

    Where the system cannot reset its own record of the peak, the peak since the start of the process is given.
    """
    found = MemoryPeak()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif _CLEAR.exists():
        malloc = _c_library()
        if malloc is not None:
            malloc.malloc_trim(0)  # what was freed and kept does not count
        with suppress(OSError):
            _CLEAR.write_text("5")  # sets the peak back to what is resident now
    yield found
    found.peak_bytes = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _resident_peak()


def _resident_peak() -> int:
    if _STATUS.exists():
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def available_bytes(device: torch.device) -> int | None:
    """Memory that this process could have in all: of the GPU, or of the machine as far as it is not used by others."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device)
    info = Path("/proc/meminfo")
    if device.type != "cpu" or not info.exists():
        return None
    line = next(line for line in info.read_text().splitlines() if line.startswith("MemAvailable"))
    return int(line.split()[1]) * 1024 + _resident_now()


def _resident_now() -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024
