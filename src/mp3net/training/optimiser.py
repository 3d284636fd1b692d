"""Adam as in Keras, the form that the released training code used."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

KERAS_EPSILON = 1e-7


class KerasAdam(torch.optim.Adam):
    """p -= rate sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + 1e-7): the epsilon is not corrected for the bias of v.

    PyTorch divides by sqrt(v) / sqrt(1 - b2^t) + eps instead; eps = 1e-7 / sqrt(1 - b2^t) makes the two equal.
    """

    def __init__(self, parameters: Iterable[Tensor], learning_rate: float, betas: tuple[float, float]) -> None:
        super().__init__(parameters, lr=learning_rate, betas=betas, fused=True)

    def step(self, closure: Callable[[], float] | None = None) -> Any:
        for group in self.param_groups:
            states = [self.state[parameter] for parameter in group["params"] if self.state[parameter]]
            step = 1 + (int(states[0]["step"]) if states else 0)
            group["eps"] = KERAS_EPSILON / (1 - group["betas"][1] ** step) ** 0.5
        return super().step(closure)

    def prepare_moments(self, parameters: Iterable[Tensor]) -> None:
        """Give parameters zero moments, to be overwritten later."""
        for parameter in parameters:
            moments = {key: torch.zeros_like(parameter) for key in ("exp_avg", "exp_avg_sq")}
            self.state[parameter] = {"step": torch.tensor(0.0), **moments}
