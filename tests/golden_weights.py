"""The authors' names and kernel layouts -> ours, for weights and for gradients alike."""

from __future__ import annotations

import re

import numpy as np
import torch
from torch import Tensor

GENERATOR_LAYERS = {
    "0.2x1L": "low_up", "0.2x2H": "high_up", "1.1x1L": "low_conv", "1.1x1H": "high_conv", "2.1x1L": "low_balance",
    "2.1x1H": "high_balance", "3.2x1": "merge_up", "4.1x1": "merge_conv",
}  # fmt: skip
DISCRIMINATOR_LAYERS = {
    "4.1x1": "split_conv", "3.2x1": "split_down", "2.1x1L": "low_conv", "2.1x1H": "high_conv", "1.2x1L": "low_down",
    "1.2x2H": "high_down", "0.1x1L": "low_balance", "0.1x1H": "high_balance",
}  # fmt: skip
NUM_BLOCKS = 3


def convert(key: str, value: np.ndarray) -> tuple[str, Tensor]:
    """("generator_block_0.0.2x1L/kernel", array) -> ("blocks.0.low_up.weight", tensor) in our layout."""
    layer, part = key.split("/")
    kernel = part == "kernel"
    suffix = "weight" if kernel else "bias"
    tensor = torch.from_numpy(np.array(value))
    block = re.fullmatch(r"(generator|discriminator)_block_(\d)\.(.+)", layer)
    if layer == "generator_conv2dt.4x1":  # outputs in the order frames, bins, channels
        tensor = tensor.reshape(-1, 4, 2, 16).permute(3, 1, 2, 0) if kernel else tensor.reshape(4, 2, 16).permute(2, 0, 1)
        return f"dense.{suffix}", tensor.reshape(128, -1) if kernel else tensor.reshape(-1)
    if layer == "discriminator_conv2d.4x1":  # inputs in that order
        return f"dense.{suffix}", tensor.reshape(4, 2, 17, 16).permute(3, 2, 0, 1).reshape(16, -1) if kernel else tensor
    if layer == "discriminator_fc":
        return f"to_score.{suffix}", tensor.T if kernel else tensor
    if block is None:
        name = {"generator_output_conv2d_new": "to_audio", "discriminator_output_conv2d_new": "from_audio"}[layer]
        return f"{name}.{suffix}", tensor.permute(3, 2, 0, 1) if kernel else tensor
    kind, index, step = block.groups()
    if kind == "discriminator":
        name = f"blocks.{NUM_BLOCKS - 1 - int(index)}.{DISCRIMINATOR_LAYERS[step]}.{suffix}"
        return name, tensor.permute(3, 2, 0, 1) if kernel else tensor
    ours = GENERATOR_LAYERS[step]
    if kernel and ours.endswith("_up"):
        tensor = tensor.permute(3, 2, 0, 1)
    elif kernel:  # a transposed convolution of stride 1 is a convolution with the kernel turned round
        tensor = tensor.permute(2, 3, 0, 1).flip(2, 3)
    return f"blocks.{index}.{ours}.{suffix}", tensor


def collect(data: dict[str, np.ndarray], prefix: str, dtype: torch.dtype) -> dict[str, Tensor]:
    """All arrays below `prefix`, by our names."""
    found = dict(convert(key.removeprefix(prefix), value) for key, value in data.items() if key.startswith(prefix))
    return {name: value.to(dtype).contiguous() for name, value in found.items()}


def ours(array: np.ndarray, dtype: torch.dtype) -> Tensor:
    """[batch, blocks, bands, channels] -> (B, C, T, F)."""
    return torch.from_numpy(np.array(array)).to(dtype).permute(0, 3, 1, 2).contiguous()
