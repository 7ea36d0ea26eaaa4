# SPDX-License-Identifier: GPL-3.0-or-later
"""Which cells of space hold anything: what lets the renderer skip the empty ones."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.radiance.field import RadianceField

_POINTS = 1 << 19
"""Looked at together: plain PyTorch needs hundreds of bytes for each."""


class OccupancyGrid(nn.Module):
    """A cubic grid over -bound..bound with a fading maximum of each cell's density (after Instant NGP).

    A cell is occupied if its density is above `threshold` (per world unit), or above the average (a field
    that is faint everywhere keeps its denser part), or if it touches such a cell: the rim lets surfaces grow.
    Everything is occupied before the first update.
    decay: factor on the remembered density at each update; short runs need it small, or the past never
    fades.
    State that a checkpoint must hold is in buffers.
    """

    density: Tensor
    mask: Tensor

    def __init__(
        self, bound: float = 1.0, resolution: int = 48, threshold: float = 0.3, decay: float = 0.7
    ) -> None:
        super().__init__()
        self.bound = bound
        self.resolution = resolution
        self.decay = decay
        self.threshold = threshold
        shape = (resolution,) * 3
        self.register_buffer("density", torch.zeros(shape))
        self.register_buffer("mask", torch.ones(shape, dtype=torch.bool))

    @torch.no_grad()
    def update(self, field: RadianceField, generator: torch.Generator | None = None) -> None:
        """Look at the field once in each cell, at a random place (the centre without a generator)."""
        cells = torch.arange(self.resolution, device=self.density.device, dtype=torch.float32)
        x = torch.stack(torch.meshgrid(cells, cells, cells, indexing="ij"), -1).view(-1, 3)
        place = torch.full((), 0.5, device=x.device)
        if generator is not None:
            place = torch.rand(x.shape, generator=generator, device=generator.device).to(x.device)
        points = ((x + place) * (2 / self.resolution) - 1) * self.bound
        seen = torch.cat([field.density(part) for part in points.split(_POINTS)]).view_as(self.density)
        torch.maximum(self.density * self.decay, seen, out=self.density)
        threshold = self.density.mean().clamp_max(self.threshold)
        core = (self.density > threshold).float()[None, None]
        self.mask.copy_(F.max_pool3d(core, kernel_size=3, stride=1, padding=1)[0, 0] > 0)

    def occupied(self, x: Tensor) -> Tensor:
        """Whether world points x (…,3) lie in occupied cells, bool (…); False outside the cube."""
        cell = (x / self.bound + 1) * (self.resolution / 2)
        inside = ((cell >= 0) & (cell < self.resolution)).all(-1)
        i, j, k = cell.long().clamp_(0, self.resolution - 1).unbind(-1)
        return self.mask[i, j, k] & inside

    def occupied_along(self, origins: Tensor, directions: Tensor, t: Tensor) -> Tensor:
        """Whether the points origins (R,3) + t (R,S) directions (R,3) lie in occupied cells, bool (R,S).

        The same as `occupied`, several times faster as no points are made. Only meaningful for points inside
        the cube: others get the answer of some cell at its border.
        """
        start = (origins / self.bound + 1) * (self.resolution / 2)
        slope = directions * (self.resolution / 2 / self.bound)
        index = torch.zeros((), dtype=torch.int32, device=t.device)
        for axis in range(3):
            cell = torch.addcmul(start[:, axis, None], t, slope[:, axis, None]).int()
            index = index * self.resolution + cell.clamp_(0, self.resolution - 1)
        return self.mask.view(-1).index_select(0, index.view(-1)).view_as(t)

    def fraction(self) -> Tensor:
        """Occupied part of the cube, a scalar tensor."""
        return self.mask.float().mean()
