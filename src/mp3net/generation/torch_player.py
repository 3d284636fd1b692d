"""Both families on any device, in any precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from mp3net.config import Config, Precision
from mp3net.dsp.mdct import imdct
from mp3net.errors import Mp3netError
from mp3net.generation.songs import fades
from mp3net.model.build import Generator, build_generator
from mp3net.model.mp3net2.layers import FrameConv
from mp3net.model.paper.layers import Conv
from mp3net.model.snapshot import Snapshot


class TorchPlayer:
    """A generator with its inverse transform."""

    def __init__(self, generator: Generator, config: Config, precision: Precision = "float32") -> None:
        self.generator, self.config, self.precision = generator, config, precision

    @classmethod
    def of(cls, snapshot: Snapshot, device: str, precision: Precision) -> TorchPlayer:
        """With a snapshot's weights. Errors: Mp3netError if they are damaged or others, or there is no such device."""
        with torch.device("meta"):
            generator = build_generator(snapshot.config)
        snapshot.load_generator(generator)
        try:
            generator.to(torch.device(device))
        except (RuntimeError, AssertionError, NotImplementedError) as error:  # unknown, not compiled in, not there
            why = str(error).split(" device type at start")[0].splitlines()[0]
            raise Mp3netError(f"device {device!r}: PyTorch cannot use it here: {why}; 'cpu' is always there") from None
        generator = generator.to(memory_format=torch.channels_last).eval().requires_grad_(False)  # type: ignore[call-overload]
        if precision == "bfloat16":  # once, not in every pass: autocast keeps rounded weights only for training
            for layer in generator.modules():
                if isinstance(layer, FrameConv | Conv):
                    layer.to(torch.bfloat16)
        return cls(generator, snapshot.config, precision)

    @property
    def name(self) -> str:
        return f"torch {self._device.type} {self.precision}"

    @property
    def beat_frames(self) -> np.ndarray | None:
        found: Tensor | None = getattr(self.generator, "beat_frames", None)
        return None if found is None else found.float().cpu().numpy()

    @property
    def _device(self) -> torch.device:
        return next(self.generator.parameters()).device

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self.precision == "bfloat16")

    @torch.inference_mode()
    def begin(self, z: np.ndarray) -> Any:
        with self._autocast():
            return self.generator.open(torch.from_numpy(z)[None].to(self._device))

    @torch.inference_mode()
    def sound(self, begun: Any, first: int, last: int) -> np.ndarray:
        with self._autocast():
            coefficients = self.generator.section(begun, first, last)
        made: np.ndarray = imdct(coefficients, self.config.audio.window)[0].cpu().numpy()
        return made

    @torch.inference_mode()
    def coefficients(self, z: Tensor) -> Tensor:
        """Latents (B, Z) -> MDCT coefficients (B, C, T, F), float32."""
        with self._autocast():
            coefficients: Tensor = self.generator(z.to(self._device))
        return coefficients

    @torch.inference_mode()
    def render(self, z: Tensor, samples: int | None = None) -> Tensor:
        """Latents (B, Z) -> audio (B, C, (T - 1) N), or the first `samples` of them, faded in and out."""
        sound = imdct(self.coefficients(z), self.config.audio.window)[..., :samples]
        return sound * torch.from_numpy(fades(sound.shape[-1], self.config.audio.sample_rate_hz)).to(sound)
