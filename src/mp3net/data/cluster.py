"""Decoding on a Ray cluster: the same work and the same notes in the staging folder, which all machines must share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from mp3net.data.inventory import FileReport
from mp3net.data.isolation import IsolatedPool
from mp3net.errors import Mp3netError

FILES_PER_TASK = 8
"""A task starts one isolated process (about a second), so a few files share it; many tasks balance the load."""


def check_installed() -> None:
    """Errors: Mp3netError if Ray is not installed."""
    try:
        import ray.data  # noqa: F401
    except ImportError:
        raise Mp3netError("--ray needs Ray: pip install 'mp3net[cluster]' on every machine of the cluster") from None


def run_on_ray(
    work: Callable[[Path], FileReport], lost: Callable[[Path, str], FileReport], paths: Iterable[Path], address: str
) -> Iterator[tuple[Path, FileReport]]:
    """Do what an IsolatedPool does on the cluster at `address` ("auto": the one this machine belongs to; "local": a new one
    with this machine's cores), which decides how many tasks run at a time.

    Errors: Mp3netError if Ray is not installed or there is no such cluster.
    """
    check_installed()
    import ray
    import ray.data

    try:
        ray.init(address=None if address == "local" else address, ignore_reinit_error=True, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        hint = "start one with `ray start --head`, or give --ray local for the cores of this machine"
        raise Mp3netError(f"--ray {address}: no cluster there; {hint} ({str(error).splitlines()[0]})") from None
    names = [str(path) for path in paths]
    ray.data.DataContext.get_current().enable_progress_bars = False
    tasks = ray.data.from_items(
        [{"path": name} for name in names], override_num_blocks=max(1, -(-len(names) // FILES_PER_TASK))
    ).map_batches(partial(_decode, work, lost), batch_size=FILES_PER_TASK, num_cpus=1)
    for row in tasks.iter_rows():
        yield Path(row["path"]), FileReport(**json.loads(row["report"]))


def _decode(
    work: Callable[[Path], FileReport], lost: Callable[[Path, str], FileReport], batch: dict[str, Any]
) -> dict[str, list[str]]:
    """Ray task: some files in one isolated process."""
    with IsolatedPool(1) as pool:
        done = list(pool(work, lost, [Path(name) for name in batch["path"]]))
    return {"path": [str(path) for path, _ in done], "report": [json.dumps(asdict(report)) for _, report in done]}
