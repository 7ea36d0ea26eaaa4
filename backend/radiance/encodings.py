# SPDX-License-Identifier: GPL-3.0-or-later
"""What an encoding of positions promises to the field. Implementations: dense_grid.py, hash_grid.py."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Encoding(nn.Module, ABC):
    """Turns positions in the unit cube into features a small MLP can work with."""

    output_dim: int
    """Number of features F a position gets."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Features (N,F) of positions x (N,3) in 0..1."""
