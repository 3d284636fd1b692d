"""Started by the tests, alone or by torchrun: writes gradients of the first steps and weights after five iterations.

parallel_worker.py DATA OUT PRECISION FAMILY [key=value ...]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from mp3net.config import override
from mp3net.data.dataset import CropDataset
from mp3net.dsp.psychoacoustics import Psychoacoustics
from mp3net.training.parallel import join
from mp3net.training.trainer import Trainer
from tests.training.conftest import SECOND, TINY

CPU = torch.device("cpu")


def threads() -> set[str]:
    """Names of this process's threads; on Linux alone."""
    return {(task / "comm").read_text().strip() for task in Path("/proc/self/task").glob("*")}


def main(data: Path, out: Path, precision: str, family: str, settings: list[str]) -> None:
    torch.set_num_threads(1)
    config = override({"paper": TINY, "mp3net2": SECOND}[family], ["optimiser.batch_size=8", *settings])
    if precision == "float64":
        torch.set_default_dtype(torch.float64)
    with join(CPU) as ranks:
        trainer = Trainer(config, CropDataset(data, config.track_samples), None, CPU, print, ranks=ranks)
        if precision == "float64":
            trainer.objective.ear = Psychoacoustics(8000, 16, dtype=torch.float64)
            trainer.state.networks.discriminator.double()
            single = trainer.real_batch
            trainer.real_batch = lambda tracks: single(tracks).double()
        found = {}
        state = trainer.state
        # With fresh biases of zero and Glorot weights scores hardly depend on the deviation: larger weights make it matter.
        with torch.no_grad():
            for parameter in state.networks.discriminator.parameters():
                parameter.mul_(1.7)
        for name, network, gradients in (
            ("d", state.networks.discriminator, trainer.discriminator_gradients),
            ("g", state.networks.generator, trainer.generator_gradients),
        ):
            terms = gradients()
            found |= {f"{name}/grad/{key}": value.grad for key, value in network.named_parameters()}
            found |= {f"{name}/term/{key}": value for key, value in terms.items()}
        for _ in range(5):
            trainer.iteration()
        for name, network in (("d", state.networks.discriminator), ("g", state.networks.generator)):
            found |= {f"{name}/weight/{key}": value for key, value in network.named_parameters()}
        if ranks.first:
            np.savez(out, **{key: value.detach().numpy() for key, value in found.items()})
    # The trainer still lives. Threads of the group that outlive it abort the process now and then, at its very end.
    assert not {name for name in threads() if "gloo" in name}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5:])
