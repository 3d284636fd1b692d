"""The paper's generator as a graph: z (1, Z) -> coefficients (C, F, T)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mp3net.config import PaperModel
from mp3net.export.graph import Graph

LEAKY_SLOPE = 0.2


class PaperGraph:
    """Writes the generator's layers (`model/paper/generator.py`) down, with their weights."""

    def __init__(self, graph: Graph, config: PaperModel, weights: Mapping[str, np.ndarray]) -> None:
        self.graph, self.config, self.weights = graph, config, weights

    def coefficients(self, z: str) -> str:
        graph, config = self.graph, self.config
        x = graph.affine(z, self.weights["dense.weight"], self.weights["dense.bias"])
        x = graph.reshape(self._leaky(x), 1, config.block_channels(0)[0], config.base_frames, config.base_bins)
        bins = config.base_bins
        for number in range(config.num_blocks):
            name = f"blocks.{number}"
            low = self._chain(name, "low", x, (2, 1))
            high = self._chain(name, "high", graph.slice(x, bins // 2, bins, axis=3), (2, 2))
            x = graph.op("Concat", low, high, axis=3)
            x = self._leaky(self._up(f"{name}.merge_up", x, (2, 1)))
            x = self._leaky(self._conv(f"{name}.merge_conv", x))
            bins *= 2
        made = graph.op("Tanh", self._conv("to_audio", x))
        return graph.reshape(graph.op("Transpose", made, perm=[0, 1, 3, 2]), -1, bins, config.num_frames)

    def _chain(self, name: str, which: str, x: str, stride: tuple[int, int]) -> str:
        x = self._leaky(self._up(f"{name}.{which}_up", x, stride))
        x = self._leaky(self._conv(f"{name}.{which}_conv", x))
        return self._conv(f"{name}.{which}_balance", x)

    def _leaky(self, x: str) -> str:
        return str(self.graph.op("LeakyRelu", x, alpha=LEAKY_SLOPE))

    def _conv(self, name: str, x: str) -> str:
        """3x3 with one zero on all sides, or 1x1."""
        weight, bias = self._of(name)
        size = self.weights[f"{name}.weight"].shape[-1]
        return str(self.graph.op("Conv", x, weight, bias, kernel_shape=[size, size], pads=[size // 2] * 4))

    def _up(self, name: str, x: str, stride: tuple[int, int]) -> str:
        """Transposed: along an axis of stride 2 what lies beyond the end is dropped, along others one row on both sides."""
        weight, bias = self._of(name)
        before = [int(step == 1) for step in stride]
        return str(
            self.graph.op("ConvTranspose", x, weight, bias, kernel_shape=[3, 3], strides=list(stride), pads=[*before, 1, 1])
        )

    def _of(self, name: str) -> tuple[str, str]:
        return self.graph.constant(self.weights[f"{name}.weight"]), self.graph.constant(self.weights[f"{name}.bias"])
