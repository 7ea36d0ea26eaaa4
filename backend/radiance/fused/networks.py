# SPDX-License-Identifier: GPL-3.0-or-later
"""A field's two networks as the kernels take them: one of twice the width, with zeros between the halves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import triton
from torch import Tensor


class Networks(NamedTuple):
    """first (2 P, 2 L): density's hidden units, then the colour's; last (16, 2 P): outputs, density in row 0,
    colour in 1 to 3. P: hidden units, padded to a power of two and at least 16; L: levels of the grid.
    """

    first: Tensor
    last: Tensor

    @property
    def padded_hidden(self) -> int:
        return self.first.shape[0] // 2


def join(weights: Sequence[Tensor], dtype: torch.dtype) -> Networks:
    """Weights of the layers density1 (H, 2 L), density2 (1, H), colour1 (H, 2 L), colour2 (3, H)."""
    density1, density2, colour1, colour2 = (weight.detach() for weight in weights)
    hidden = density1.shape[0]
    padded = max(16, triton.next_power_of_2(hidden))
    first = density1.new_zeros((2, padded, density1.shape[1]), dtype=dtype)
    last = density1.new_zeros((16, 2, padded), dtype=dtype)
    first[0, :hidden] = density1
    first[1, :hidden] = colour1
    last[0, 0, :hidden] = density2[0]
    last[1:4, 1, :hidden] = colour2
    return Networks(first.flatten(0, 1), last.flatten(1))


def part(joined: Networks, hidden: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The four layers' weights again, or their gradients."""
    first = joined.first.unflatten(0, (2, -1))[:, :hidden]
    last = joined.last.unflatten(1, (2, -1))[:, :, :hidden]
    return first[0], last[:1, 0], first[1], last[1:4, 1]
