"""One training run on several processes: the same numbers however many there are.

Every process holds both networks and computes its share of each batch. Gradients are summed once per step, in one flat
message. The minibatch deviation, which couples all samples of a batch, is computed over all processes, with derivatives of
any order.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from mp3net.config import Config
from mp3net.errors import Mp3netError
from mp3net.training.rendezvous import fresh_store, store_of_launcher
from mp3net.words import counted


class _SumOverRanks(torch.autograd.Function):
    """y = sum of x over all processes. Every process's loss depends on every x, so the gradient is the sum of gradients: the
    function is its own derivative and can be differentiated any number of times."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.contiguous().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        result: Tensor = _SumOverRanks.apply(gradients[0])  # type: ignore[no-untyped-call]
        return result


class Ranks:
    """This process among all that train together; `Ranks()` is a single process."""

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank = rank
        self.count = count

    @property
    def first(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def share(self, batch_size: int) -> range:
        """This process's samples of a batch. Errors: Mp3netError if the batch does not divide evenly."""
        if batch_size % self.count:
            raise Mp3netError(
                f"optimiser.batch_size = {batch_size} cannot be shared evenly by {self.count} processes; choose a "
                f"multiple of {self.count}"
            )
        size = batch_size // self.count
        return range(self.rank * size, (self.rank + 1) * size)

    def sum(self, x: Tensor) -> Tensor:
        """The sum over all processes, differentiable."""
        if self.count == 1:
            return x
        total: Tensor = _SumOverRanks.apply(x)  # type: ignore[no-untyped-call]
        return total

    @torch.no_grad()
    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replace every gradient with its sum over all processes."""
        if self.count == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        dist.all_reduce(flat)
        for gradient, part in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):  # type: ignore[no-untyped-call]
            gradient.copy_(part.view_as(gradient))

    @torch.no_grad()
    def broadcast(self, tensors: Iterable[Tensor], device: torch.device) -> None:
        """Copy the values of the first process to all processes."""
        if self.count > 1:
            for tensor in tensors:
                whole = tensor.to(device).contiguous()
                dist.broadcast(whole, 0)
                tensor.copy_(whole)

    def agree(self, value: int, device: torch.device) -> int:
        """The largest value given by any process."""
        if self.count == 1:
            return value
        shared = torch.tensor(value, dtype=torch.int64, device=device)
        dist.all_reduce(shared, op=dist.ReduceOp.MAX)
        return int(shared)


@contextmanager
def join(device: torch.device) -> Iterator[Ranks]:
    """Join the processes that `torchrun` started, if any; leaves the group at the end."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Ranks()
        return
    # The first optimiser imports this. If imported after the group is created, it keeps the group, and so gloo's threads,
    # alive until the interpreter exits, where one of them occasionally aborts the process: exit code -6 of a finished run.
    import torch._dynamo  # noqa: F401

    store, rank, count = store_of_launcher()
    fresh = fresh_store(store, rank, count)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", store=fresh, rank=rank, world_size=count)
    try:
        yield Ranks(rank, count)
    finally:
        dist.destroy_process_group()


def check_division(config: Config, ranks: Ranks) -> None:
    """Refuse to divide a batch in a way that changes its mathematics: the minibatch deviation needs whole groups."""
    batch_size, group = config.optimiser.batch_size, config.model.coupled_samples
    mine = len(ranks.share(batch_size))
    micro = config.run.micro_batch_size or mine
    if mine % micro:
        raise Mp3netError(
            f"run.micro_batch_size = {micro} does not divide the {mine} tracks of one process (optimiser.batch_size = "
            f"{batch_size}, {counted(ranks.count, 'process')}); its divisors are {_divisors(mine)}"
        )
    if group is None and micro != mine:
        raise Mp3netError(
            f"run.micro_batch_size = {micro} with the minibatch deviation over the whole batch of {batch_size}: the "
            "deviation of a part is not that of the whole. Set model.stddev_group_size to a divisor of the micro-batch "
            f"(for example {micro}) in a new run, or leave run.micro_batch_size out"
        )
    if group is not None and micro % group:
        raise Mp3netError(
            f"model.stddev_group_size = {group} does not divide the {micro} tracks computed at a time "
            f"(optimiser.batch_size = {batch_size}, {counted(ranks.count, 'process')}, run.micro_batch_size = {micro}); "
            "every group must lie within one process and one micro-batch"
        )


def _divisors(number: int) -> str:
    return ", ".join(str(divisor) for divisor in range(1, number + 1) if number % divisor == 0)
