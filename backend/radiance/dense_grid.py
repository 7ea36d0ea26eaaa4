# SPDX-License-Identifier: GPL-3.0-or-later
"""Multi-resolution dense grids: the encoding that a CPU is fast at."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.radiance import dense_grid_slices
from backend.radiance.encodings import Encoding

MAX_SPLITS = 4


class DenseGrid(Encoding):
    """One dense feature grid a level, read by trilinear interpolation, the features concatenated.

    Level l is `levels[l]`, a parameter (1, features, D, D, D) indexed [.., z, y, x] with
    D = resolutions[l] nodes an axis; the first and last node lie exactly on 0 and 1, so the grid spans the
    bound. Positions outside are clamped to it. The gradient with respect to positions can itself be
    differentiated only where `differentiates_twice`: older releases of PyTorch lack it.

    init_scale: the features start uniform in -init_scale..init_scale.
    """

    def __init__(
        self,
        resolutions: Sequence[int] = (8, 16, 32, 64),
        features: int = 4,
        init_scale: float = 1e-2,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not resolutions or min(resolutions) < 2 or features < 1:
            raise ValueError("a dense grid needs at least 2 nodes an axis on every level and 1 feature")
        self.resolutions = tuple(resolutions)
        self.output_dim = features * len(self.resolutions)
        self.levels = nn.ParameterList()
        for nodes in self.resolutions:
            values = torch.rand(1, features, nodes, nodes, nodes, generator=generator)
            self.levels.append(nn.Parameter((values * 2 - 1) * init_scale))

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, output_dim) of positions x (N,3) in 0..1, coarse level first."""
        count = x.shape[0]
        if count == 0:
            return x.new_zeros(0, self.output_dim)
        on_cpu = x.device.type == "cpu"
        # ATen spreads grid_sample over the batch only: cut the points into a batch of equal parts that all
        # read the same grid.
        splits = min(MAX_SPLITS, torch.get_num_threads()) if on_cpu and count >= 1024 else 1
        if on_cpu and not x.requires_grad and dense_grid_slices.pays():
            return dense_grid_slices.read(x, tuple(self.levels), splits)
        padding = -count % splits
        points = (F.pad(x, (0, 0, 0, padding)) if padding else x).view(splits, -1, 3)
        grid = (points * 2 - 1)[:, None, None]
        features = torch.cat([_by_volume(level, grid) for level in self.levels], 1)
        features = features.transpose(1, 2).reshape(-1, self.output_dim)
        return features[:count] if padding else features


def _by_volume(level: Tensor, grid: Tensor) -> Tensor:
    """Features (S, F, N) of places (S, 1, 1, N, 3) in -1..1, differentiable in both."""
    volumes = level.expand(len(grid), -1, -1, -1, -1)
    return F.grid_sample(volumes, grid, padding_mode="border", align_corners=True)[:, :, 0, 0]


@functools.cache
def differentiates_twice() -> bool:
    """Whether this PyTorch has the second derivative of `grid_sample` that trained analytic normals need."""
    grid = DenseGrid((2,))
    x, g = torch.full((1, 3), 0.3), torch.ones(1, grid.output_dim)
    try:
        grid.pull_back(x, g).sum().backward()
    except RuntimeError:
        return False
    return True
