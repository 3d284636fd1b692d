"""A fresh part of the launcher's store for each round of processes.

When a worker is lost, `torchrun --max-restarts` restarts the whole round, but all rounds share one key-value store, so a new
process can read the address that a dead one left there: "connection refused", until no restart is left. Neither the number
of restarts (each node counts its own) nor the ranks tell the rounds apart, so the processes agree on a name that nobody has
used before.
"""

from __future__ import annotations

import json
import time
import uuid
from datetime import timedelta

from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from mp3net.errors import Mp3netError

PATIENCE_S = 300
"""Cluster nodes do not start at the same second; a process that has not arrived by then will not arrive."""
PAUSE_S = 0.02


def fresh_store(store: Store, rank: int, count: int, patience_s: float = PATIENCE_S) -> Store:
    """The part of `store` that only the live processes of this round share.

    Every process posts a card with a random word. The first process publishes the words it reads with the name of a space; a
    process that finds its own word there answers with that name, and the space is open when all have answered. What dead
    processes left in the store has other words and other names, and so has no effect.

    Raises Mp3netError if a process is missing after `patience_s`.
    """
    word, end = uuid.uuid4().hex, time.monotonic() + patience_s
    store.set(f"mp3net/card/{rank}", word)
    space = _open_space(store, count, word, end) if rank == 0 else _enter_space(store, rank, word, end)
    return PrefixStore(f"mp3net/space/{space}", store)


def _open_space(store: Store, count: int, space: str, end: float) -> str:
    waiting = set(range(1, count))
    while waiting:
        cards = {rank: _read(store, f"mp3net/card/{rank}") for rank in range(1, count)}
        store.set("mp3net/open", json.dumps({"space": space, "words": list(cards.values())}))
        waiting = {rank for rank in waiting if _read(store, f"mp3net/answer/{rank}") != f"{space} {cards[rank]}"}
        _pause(end, f"{'process' if len(waiting) == 1 else 'processes'} {', '.join(map(str, sorted(waiting)))} of {count}")
    store.set(f"mp3net/complete/{space}", "yes")
    return space


def _enter_space(store: Store, rank: int, word: str, end: float) -> str:
    while True:
        shown = json.loads(_read(store, "mp3net/open") or "{}")
        if word in shown.get("words", ()):
            store.set(f"mp3net/answer/{rank}", f"{shown['space']} {word}")
            if _read(store, f"mp3net/complete/{shown['space']}"):
                return str(shown["space"])
        _pause(end, "the first process")


def _read(store: Store, key: str) -> str:
    """The value of `key`; empty if nobody has written it."""
    return store.get(key).decode() if store.check([key]) else ""


def _pause(end: float, missing: str) -> None:
    if time.monotonic() > end:
        raise Mp3netError(f"{missing} did not come to the rendezvous; see the log of the node where it should run")
    time.sleep(PAUSE_S)


def store_of_launcher(patience_s: float = PATIENCE_S) -> tuple[Store, int, int]:
    """Store, rank and number of processes as `torchrun` sets them in the environment."""
    found: tuple[Store, int, int] = next(rendezvous("env://", timeout=timedelta(seconds=patience_s)))
    return found
