# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields whose density and colour are written down, to compute expectations by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from backend.radiance.field import RadianceField

PointFunction = Callable[[Tensor], Tensor]


class WrittenField(RadianceField):
    """density_of and colour_of map points (N,3) to (N,) and (N,3), instead of networks."""

    fused = False

    def __init__(
        self, density_of: PointFunction, colour_of: PointFunction | None = None, bound: float = 1.0
    ) -> None:
        torch.nn.Module.__init__(self)
        self.density_of = density_of
        self.colour_of = colour_of or (lambda x: torch.full_like(x, 0.5))
        self.bound = bound

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.density_of(x), self.colour_of(x)

    def density(self, x: Tensor) -> Tensor:
        return self.density_of(x)


@pytest.fixture
def written_field() -> type[WrittenField]:
    """written_field(density_of, colour_of=None, bound=1)."""
    return WrittenField


@pytest.fixture
def ball() -> Callable[[float, float], PointFunction]:
    """ball(radius, density): constant density inside a ball at the origin, 0 outside."""
    return lambda radius, density: lambda x: density * (x.norm(dim=-1) < radius).to(x.dtype)
