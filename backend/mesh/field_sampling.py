# SPDX-License-Identifier: GPL-3.0-or-later
"""Evaluates a field, a function of torch points, at many numpy points in chunks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

FieldFunction = Callable[[torch.Tensor], Any]

CHUNK = 1 << 16
"""Points a call: bounds the memory that a field's activations take."""


def evaluate(
    field: FieldFunction, points: NDArray[np.floating[Any]], device: torch.device | str = "cpu"
) -> NDArray[np.float32]:
    """`field` at `points` (N, 3), without gradients: (N,) or (N, C) float32.

    The function gets (n, 3) float32 tensors on `device` and may answer with a tensor or an array.
    """
    flat = torch.from_numpy(np.ascontiguousarray(points, dtype=np.float32))
    parts = []
    with torch.no_grad():
        for chunk in flat.split(CHUNK):
            values = field(chunk.to(device))
            # The copy back is the result itself: one synchronisation a chunk, not a step.
            parts.append(torch.as_tensor(values).detach().float().cpu().numpy())
    return np.concatenate(parts)
