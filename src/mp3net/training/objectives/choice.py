"""The objective of a configuration: the one place that chooses by `objective.kind`."""

from __future__ import annotations

import torch

from mp3net.config import Config, Relativistic
from mp3net.model.build import Networks
from mp3net.training.objectives.base import Objective
from mp3net.training.objectives.relativistic import RelativisticObjective
from mp3net.training.objectives.wgan_gp import WassersteinObjective


def build_objective(config: Config, networks: Networks, device: torch.device) -> Objective:
    """The objective for these networks."""
    if isinstance(config.objective, Relativistic):
        return RelativisticObjective(config, networks, device)
    return WassersteinObjective(config, networks, device)
