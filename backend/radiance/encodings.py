# SPDX-License-Identifier: GPL-3.0-or-later
"""What an encoding of positions promises to the field. Implementations: dense_grid.py, hash_grid.py."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class Encoding(nn.Module, ABC):
    """Turns positions in the unit cube into features a small MLP can work with."""

    output_dim: int
    """Number of features F a position gets."""

    @property
    def has_kernels(self) -> bool:
        """Whether kernels of our own compute it, where it is now."""
        return False

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Features (N,F) of positions x (N,3) in 0..1."""

    def pull_back(self, x: Tensor, gradient: Tensor) -> Tensor:
        """J^T g (N,3): what a gradient g (N,F) on the features means for the positions x (N,3).

        Differentiable in g and in the encoding's parameters, where the encoding can be differentiated twice;
        elsewhere PyTorch raises RuntimeError in the backward pass.
        """
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            (result,) = torch.autograd.grad(self(x), x, gradient, create_graph=True)
        return result
