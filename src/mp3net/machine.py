"""What this process may use of its machine: batch systems and containers give it a part of the processors and memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_CGROUPS, _MEMORY = Path("/sys/fs/cgroup"), Path("/proc/meminfo")


def usable_cpus() -> int:
    """Processors that this process may use: those it is bound to (taskset), less what its control group leaves of them."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    shares = []
    for folder in _groups():
        quota, _, period = _first_line(folder / "cpu.max").partition(" ")
        if quota.isdecimal() and period.isdecimal():
            shares.append(int(quota) / int(period))
    for folder in _groups("cpu"):
        quota, period = _first_line(folder / "cpu.cfs_quota_us"), _first_line(folder / "cpu.cfs_period_us")
        if quota.isdecimal() and period.isdecimal():
            shares.append(int(quota) / int(period))
    return max(1, min([bound, *(int(share) for share in shares)]))


def available_memory_bytes() -> int | None:
    """Memory that this process could still take, of the machine and of its control group; None if unknown."""
    found = []
    if _MEMORY.exists():
        line = next(line for line in _MEMORY.read_text().splitlines() if line.startswith("MemAvailable"))
        found.append(int(line.split()[1]) * 1024)
    for controller, limit_name, used_name in (
        ("", "memory.max", "memory.current"),
        ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        for folder in _groups(controller):
            limit, used = _first_line(folder / limit_name), _first_line(folder / used_name)
            if limit.isdecimal() and used.isdecimal():
                found.append(max(0, int(limit) - int(used)))
    return min(found, default=None)


def _groups(controller: str = "") -> Iterator[Path]:
    """The control group of this process and those around it, whose limits hold too. Version 1 has one per controller."""
    for line in _lines(Path("/proc/self/cgroup")):
        _, controllers, path = line.split(":", 2)
        if (controller in controllers.split(",")) if controller else not controllers:
            root = _CGROUPS / controller
            folder = root / path.lstrip("/")
            yield from (place for place in (folder, *folder.parents) if place == root or root in place.parents)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _first_line(path: Path) -> str:
    return next(iter(_lines(path)), "").strip()
