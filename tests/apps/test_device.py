"""`--device` without a GPU: which names are understood, and what is said of those that cannot be used."""

from __future__ import annotations

import pytest
import torch

from mp3net.apps.device import choose_device, local_device
from mp3net.errors import Mp3netError


@pytest.fixture
def gpus(monkeypatch):
    """Pretend that the machine has some GPUs. Returns a function; what it returns collects the GPU made current."""
    current: list[torch.device] = []

    def pretend(count: int) -> list[torch.device]:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "set_device", current.append)
        return current

    monkeypatch.delenv("LOCAL_RANK", raising=False)
    return pretend


def test_devices_that_are_there(gpus):
    gpus(2)
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto") == choose_device("cuda") == torch.device("cuda")
    assert choose_device("cuda:0") == torch.device("cuda", 0)
    assert choose_device("cuda:1") == torch.device("cuda", 1)


@pytest.mark.parametrize(
    ("count", "name", "message"),
    [
        (0, "cuda:0", "^--device cuda:0: this machine has none that PyTorch .* can use; try --device auto"),
        (1, "cuda:1", "^--device cuda:1: the only GPU here is cuda:0"),
        (2, "cuda:2", "^--device cuda:2: the GPUs of this machine are cuda:0 to cuda:1"),
        (2, "cuda:", "choose one of auto, cpu, cuda, cuda:N, mps; cuda:N is one GPU of several, from 0"),
        (2, "cuda:x", "choose one of"),
        (2, "cuda:-1", "choose one of"),
        (2, "cpu:0", "choose one of"),
        (2, "auto:0", "choose one of"),
        (2, "", "choose one of"),
    ],
)
def test_devices_that_are_not_there(gpus, count, name, message):
    gpus(count)
    with pytest.raises(Mp3netError, match=message):
        choose_device(name)


def test_training_makes_the_chosen_gpu_current(gpus):
    current = gpus(2)
    assert local_device(torch.device("cpu")) == torch.device("cpu")
    assert local_device(torch.device("cuda")) == torch.device("cuda")
    assert current == []
    assert local_device(torch.device("cuda", 1)) == torch.device("cuda", 1)
    assert current == [torch.device("cuda", 1)]


def test_every_process_of_torchrun_has_a_gpu_of_its_own(gpus, monkeypatch):
    current = gpus(2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert local_device(torch.device("cuda")) == torch.device("cuda", 1)
    assert current == [torch.device("cuda", 1)]
    with pytest.raises(
        Mp3netError, match="^--device cuda:0: torchrun gives every process a GPU of its own.*CUDA_VISIBLE_DEV"
    ):
        local_device(torch.device("cuda", 0))
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(Mp3netError, match="process 3 of this machine has no GPU of its own; .*nproc-per-node 2 uses all"):
        local_device(torch.device("cuda"))


def test_the_command_accepts_the_name(mp3net):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    for arguments in (["generate"], ["train", "data", "--preset", "nano-1.5s", "--out", "r"]):
        status, _, err = mp3net(*arguments, "--device", "cuda:1")
        assert (status, err.startswith("error: --device cuda:1: this machine has none that PyTorch")) == (2, True)
