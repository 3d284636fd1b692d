"""Snapshots from strangers: damaged ones are refused or played, in bounded time and memory."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from mp3net.data import isolation
from mp3net.data.isolation import IsolatedPool
from tests.damaged_snapshots import KINDS, try_damaged, write_templates


def lost(path: Path, reason: str) -> str:
    return f"lost: {reason}"


@pytest.mark.parametrize(
    ("first", "count", "limit_s"), [(0, 200, 120), pytest.param(200, 1800, 600, marks=pytest.mark.slow)]
)
def test_damaged_snapshots_are_refused_or_played(tmp_path, monkeypatch, first, count, limit_s):
    """In two long-lived processes with 2 GiB each and half a minute for each snapshot."""
    monkeypatch.setattr(isolation, "BASE_TIMEOUT_S", 30.0)
    write_templates(tmp_path)
    started = time.monotonic()
    with IsolatedPool(2) as pool:
        found = dict(pool(try_damaged, lost, [tmp_path / str(number) for number in range(first, first + count)]))
    wrong = {path.name: what for path, what in found.items() if what not in ("played", "refused")}
    assert not wrong, "\n\n".join(f"{name}: {what}" for name, what in list(wrong.items())[:3])
    counts = Counter(found.values())
    assert min(counts["played"], counts["refused"]) > count / 10
    assert time.monotonic() - started < limit_s
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(KINDS)
