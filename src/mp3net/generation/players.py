"""What turns latents into sound: by numpy at once, or by PyTorch on any device."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from mp3net.config import Config, Mp3net2Model
from mp3net.dsp.plain import inverse
from mp3net.model.mp3net2.instant import InstantGenerator
from mp3net.model.snapshot import Snapshot


class Player(Protocol):
    """Plays sections of tracks. A track is begun once; what `begin` gives serves all of its sections."""

    @property
    def name(self) -> str:
        """What computes, and how precisely."""

    @property
    def beat_frames(self) -> np.ndarray | None:
        """Quantiles of the beat in frames; None for networks without clocks of beats."""

    def begin(self, z: np.ndarray) -> Any:
        """The random numbers (Z,) of a track -> what its sections are made from."""

    def sound(self, begun: Any, first: int, last: int) -> np.ndarray:
        """The audio (C, (last - first - 1) N), float32, between the frames from `first` to before `last`."""


class InstantPlayer:
    """The second family in single precision on the CPU, without PyTorch."""

    name = "numpy float32"

    def __init__(self, snapshot: Snapshot) -> None:
        model, audio = snapshot.config.model, snapshot.config.audio
        assert isinstance(model, Mp3net2Model)
        self.window = audio.window
        self.generator = InstantGenerator(model, audio, snapshot.generator_arrays(InstantGenerator.shapes(model, audio)))
        self.generator.prepare()

    @staticmethod
    def plays(config: Config) -> bool:
        """Whether it knows the networks of a configuration."""
        return isinstance(config.model, Mp3net2Model) and InstantGenerator.can_play(config.model)

    @property
    def beat_frames(self) -> np.ndarray | None:
        return self.generator.weights.get("beat_frames")

    def begin(self, z: np.ndarray) -> Any:
        return self.generator.open(z)

    def sound(self, begun: Any, first: int, last: int) -> np.ndarray:
        return inverse(self.generator.section(begun, first, last), self.window)
