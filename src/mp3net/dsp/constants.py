"""Tables that depend only on the number of bins and a few choices: built once per precision and device, in float64."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import numpy as np
import torch
from torch import Tensor

MOST = 64
_built: dict[Hashable, Tensor] = {}


def constant(make: Callable[..., Tensor | np.ndarray], num_bins: int, like: Tensor, *choices: Hashable) -> Tensor:
    """make(num_bins, *choices) in the precision (complex where it is complex) and on the device of `like`.

    Built outside inference mode, because a tensor created inside it could not be used in a later training step. Tensors
    without data, from passes that only count operations, are not kept.
    """
    key = (make, num_bins, choices, like.dtype, like.device)
    if key in _built:
        return _built[key]
    with torch.inference_mode(False):
        made = make(num_bins, *choices)
        value = torch.from_numpy(made) if isinstance(made, np.ndarray) else made
        value = value.to(like.dtype.to_complex() if value.is_complex() else like.dtype).to(like.device)
    if type(value) is Tensor:
        if len(_built) >= MOST:
            _built.clear()
        _built[key] = value
    return value
