# SPDX-License-Identifier: GPL-3.0-or-later
"""Multi-resolution dense grids: the encoding that a CPU is fast at."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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
        padding = -count % splits
        points = (F.pad(x, (0, 0, 0, padding)) if padding else x).view(splits, -1, 3)
        if on_cpu and not x.requires_grad and _has_vectors():
            parts = [_by_slices(level, points) for level in self.levels]
        else:
            grid = (points * 2 - 1)[:, None, None]
            parts = [_by_volume(level, grid) for level in self.levels]
        features = torch.cat(parts, 1)
        features = features.transpose(1, 2).reshape(-1, self.output_dim)
        return features[:count] if padding else features


@functools.cache
def _has_vectors() -> bool:
    """Whether ATen's two-dimensional grid_sample is quicker here: with AVX2 it is, without any it is not."""
    return torch.backends.cpu.get_cpu_capability().startswith("AVX")


def _by_volume(level: Tensor, grid: Tensor) -> Tensor:
    """Features (S, F, N) of places (S, 1, 1, N, 3) in -1..1, differentiable in both."""
    volumes = level.expand(len(grid), -1, -1, -1, -1)
    return F.grid_sample(volumes, grid, padding_mode="border", align_corners=True)[:, :, 0, 0]


def _by_slices(level: Tensor, points: Tensor) -> Tensor:
    """The same of points (S, N, 3) in 0..1, differentiable in the level alone; with AVX2 in half the time.

    ATen's three-dimensional grid_sample uses no vector instructions, the two-dimensional one does. So a point
    is read in the slice below it and in the one above, which lie in one tall picture of all slices. The price
    is in its rows: where float32 counts D^2 of them, a place is exact to 2.4e-4 of a cell for D = 64, and at
    the edge y = 1 such a share may come from the next slice's first row.
    """
    _, features, nodes, _, _ = level.shape
    place = points.clamp(0, 1)
    below = (place[..., 2] * (nodes - 1)).floor_().clamp_max_(nodes - 2)
    above_share = place[..., 2] * (nodes - 1) - below
    scale = 2 / (nodes * nodes - 1)
    row = (below * nodes + place[..., 1] * (nodes - 1)) * scale - 1
    column = place[..., 0] * 2 - 1
    rows = torch.stack((row, row + nodes * scale), 1)
    grid = torch.stack((column[:, None].expand_as(rows), rows), -1)
    picture = level.view(1, features, nodes * nodes, nodes).expand(len(points), -1, -1, -1)
    both = F.grid_sample(picture, grid, padding_mode="border", align_corners=True)
    return torch.lerp(both[:, :, 0], both[:, :, 1], above_share[:, None])


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
