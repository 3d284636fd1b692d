"""Rounds of processes that share one store with the dead of earlier rounds."""

from __future__ import annotations

import threading
import time

import pytest
import torch.distributed as dist

from mp3net.errors import Mp3netError
from mp3net.training.rendezvous import fresh_store


def meet(store: dist.Store, count: int, late: int | None = None) -> list[dist.Store]:
    """One round of `count` processes; number `late` comes a little after the others."""
    rooms: dict[int, dist.Store] = {}

    def come(rank: int) -> None:
        time.sleep(0.2 if rank == late else 0)
        rooms[rank] = fresh_store(store, rank, count, patience_s=10)

    threads = [threading.Thread(target=come, args=(rank,)) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [rooms[rank] for rank in range(count)]


@pytest.mark.parametrize("late", [0, 1, 2])
def test_every_round_shares_a_store_without_what_the_dead_left(late):
    store = dist.HashStore()
    first = meet(store, 3)
    first[0].set("address", "of a process that dies")
    again = meet(store, 3, late)
    assert not again[1].check(["address"])
    again[0].set("address", "new")
    assert [space.get("address") for space in again] == [b"new"] * 3
    assert first[1].get("address") == b"of a process that dies"


@pytest.mark.parametrize(("rank", "missing"), [(0, "process 1 of 2"), (1, "the first process")])
def test_a_round_that_lost_a_process_before_it_was_complete_ends_with_its_rank(rank, missing):
    store = dist.HashStore()
    meet(store, 2)
    with pytest.raises(Mp3netError, match=rf"^{missing.replace('(', '[(]').replace(')', '[)]')} did not come"):
        fresh_store(store, rank, 2, patience_s=0.3)
    assert len({store.get("mp3net/card/0"), store.get("mp3net/card/1")}) == 2
    meet(store, 2)
