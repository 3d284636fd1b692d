"""A batch that several processes share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class WholeBatch:
    """The processes that share a batch: their number, and the (differentiable) sum of a tensor over all of them."""

    count: int = 1
    sum: Callable[[Tensor], Tensor] = lambda x: x
