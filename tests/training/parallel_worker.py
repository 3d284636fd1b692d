"""Started by the tests, alone or by torchrun: gradients of the first steps, and weights after five iterations.

parallel_worker.py DATA OUT CASE...  writes OUT/CASE.npz for every named case
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mp3net.config import Config, override
from mp3net.data.dataset import CropDataset
from mp3net.dsp.psychoacoustics import Psychoacoustics
from mp3net.training.loader import Portion
from mp3net.training.parallel import Ranks, join
from mp3net.training.trainer import Trainer
from tests.training.conftest import SECOND, TINY

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Case:
    config: Config
    settings: tuple[str, ...] = ()
    dtype: torch.dtype = torch.float64


CASES = {
    "paper": Case(TINY),
    "float32": Case(TINY, dtype=torch.float32),
    "groups-of-4": Case(TINY, ("model.stddev_group_size=4",)),
    "groups-of-2": Case(TINY, ("model.stddev_group_size=2",)),
    "groups-of-2-in-parts": Case(TINY, ("model.stddev_group_size=2", "run.micro_batch_size=2")),
    "checkpointing": Case(TINY, ("run.activation_checkpointing=true",)),
    "second": Case(SECOND),
    "second-in-parts": Case(SECOND, ("run.micro_batch_size=2",)),
}


def threads() -> set[str]:
    """Names of this process's threads; on Linux alone."""
    return {(task / "comm").read_text().strip() for task in Path("/proc/self/task").glob("*")}


def widened(portion: Portion) -> Portion:
    return Portion(portion.tracks, portion.real.double())


def trained(case: Case, data: Path, ranks: Ranks) -> tuple[Trainer, dict[str, torch.Tensor]]:
    torch.set_default_dtype(case.dtype)
    config = override(case.config, ["optimiser.batch_size=8", *case.settings])
    trainer = Trainer(config, CropDataset(data, config.track_samples), None, CPU, ranks=ranks)
    if case.dtype == torch.float64:
        trainer.steps.objective.psychoacoustics = Psychoacoustics(8000, 16, dtype=torch.float64)
        trainer.state.networks.discriminator.double()
        single = trainer.loader.batch
        trainer.loader.batch = lambda first: map(widened, single(first))
    found = {}
    state, steps = trainer.state, trainer.steps
    # With fresh biases of zero and Glorot weights scores hardly depend on the deviation: larger weights make it matter.
    with torch.no_grad():
        for parameter in state.networks.discriminator.parameters():
            parameter.mul_(1.7)
    for name, network, gradients in (
        ("d", state.networks.discriminator, steps.discriminator_gradients),
        ("g", state.networks.generator, steps.generator_gradients),
    ):
        terms = gradients()
        found |= {f"{name}/grad/{key}": value.grad for key, value in network.named_parameters()}
        found |= {f"{name}/term/{key}": value for key, value in terms.items()}
    for _ in range(5):
        steps.iteration()
    for name, network in (("d", state.networks.discriminator), ("g", state.networks.generator)):
        found |= {f"{name}/weight/{key}": value for key, value in network.named_parameters()}
    return trainer, found


def main(data: Path, out: Path, cases: list[str]) -> None:
    torch.set_num_threads(1)
    alive = []
    with join(CPU) as ranks:
        for name in cases:
            trainer, found = trained(CASES[name], data, ranks)
            alive.append(trainer)
            if ranks.first:
                np.savez(out / f"{name}.npz", **{key: value.detach().numpy() for key, value in found.items()})
    # The trainers still live. Threads of the group that outlive it abort the process now and then, at its very end.
    assert not {name for name in threads() if "gloo" in name}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
