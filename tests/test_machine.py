from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mp3net import machine
from mp3net.data import isolation


def test_processors_that_a_process_is_not_bound_to_do_not_count():
    code = "import os; os.sched_setaffinity(0, {next(iter(os.sched_getaffinity(0)))}); import mp3net.machine as m; print(m.usable_cpus())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"


@pytest.fixture
def group(tmp_path, monkeypatch):
    """A control group of version 2 two levels deep, on a machine with 64 processors."""
    monkeypatch.setattr(machine, "_CGROUPS", tmp_path)
    monkeypatch.setattr(machine, "_lines", lambda path: (
        ["0::/a/b"] if str(path) == "/proc/self/cgroup" else path.read_text().splitlines() if path.exists() else []
    ))  # fmt: skip
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    (tmp_path / "a" / "b").mkdir(parents=True)
    return tmp_path / "a"


def test_quotas_of_control_groups_hold_also_those_further_out(group):
    assert machine.usable_cpus() == 64
    (group / "b" / "cpu.max").write_text("max 100000\n")
    (group / "cpu.max").write_text("350000 100000\n")
    assert machine.usable_cpus() == 3
    (group / "b" / "cpu.max").write_text("50000 100000\n")
    assert machine.usable_cpus() == 1


def test_memory_is_what_the_tightest_group_leaves(group):
    free = machine.available_memory_bytes()
    assert free is not None
    (group / "memory.max").write_text(f"{1 << 30}\n")
    (group / "memory.current").write_text(f"{600 << 20}\n")
    assert machine.available_memory_bytes() == 424 << 20
    assert isolation.default_workers() == 1
    (group / "memory.current").write_text("0\n")
    assert isolation.default_workers() == 4


def test_version_1_of_control_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_CGROUPS", tmp_path)
    monkeypatch.setattr(machine, "_lines", lambda path: (
        ["4:cpu,cpuacct:/x", "5:memory:/y"] if str(path) == "/proc/self/cgroup" else
        path.read_text().splitlines() if path.exists() else []
    ))  # fmt: skip
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    for name, text in {
        "cpu/x/cpu.cfs_quota_us": "250000", "cpu/x/cpu.cfs_period_us": "100000", "cpu/cpu.cfs_quota_us": "-1",
        "memory/y/memory.limit_in_bytes": "1000", "memory/y/memory.usage_in_bytes": "400",
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert machine.usable_cpus() == 2
    assert machine.available_memory_bytes() == 600
