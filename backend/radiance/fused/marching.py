# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples of rays in occupied cells, packed: no room is kept for what is empty."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
from torch import Tensor

from backend.radiance.fused import marching_kernels as kernels
from backend.radiance.occupancy import OccupancyGrid

_BLOCK = 16
_BINS = 32
_SPARE = 1024
_MOST = (2**31 - 1) // 3 - _SPARE
"""Samples whose colours an int32 can still number."""


@dataclass(frozen=True)
class Marched:
    """N samples of R rays, a ray's neighbours and front to back.

    origins, directions (R,3); t (N,) distance from the origin; ray (N,) int32; first (R+1,) int32, where each
    ray's samples begin, and N; length: world units of a bin; width: rays in a row of the picture, if these
    are whole rows of pictures, else 0.
    """

    origins: Tensor
    directions: Tensor
    t: Tensor
    ray: Tensor
    first: Tensor
    length: float
    width: int = 0

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All of them, for who must tell another stream."""
        return self.origins, self.directions, self.t, self.ray, self.first


def march(
    bound: float,
    occupancy: OccupancyGrid | None,
    origins: Tensor,
    directions: Tensor,
    samples: int,
    jitter: Tensor | None,
    width: int = 0,
) -> Marched:
    """The samples `rendering.march` finds. Waits for the current stream once: the CPU must know how many.

    origins, directions (R,3); samples: bins across the sphere's diameter; jitter (R,) in 0..1 or None.
    Raises torch.OutOfMemoryError above 700 million samples.
    """
    assert occupancy is None or occupancy.bound == bound
    rays = origins.shape[0]
    origins, directions = origins.contiguous(), directions.contiguous()
    mask = None if occupancy is None else occupancy.mask.view(torch.uint8)
    resolution = 1 if occupancy is None else occupancy.resolution
    length = 2 * bound / samples
    first = torch.zeros(rays + 1, dtype=torch.int32, device=origins.device)
    counts = first[1:]

    def launch(t: Tensor, ray: Tensor, fill: bool) -> None:
        if rays:
            kernels.march[(triton.cdiv(rays, _BLOCK),)](
                origins, directions, origins if jitter is None else jitter.contiguous(),
                origins if mask is None else mask, counts, first, t, ray,
                rays, samples, resolution, bound, length,
                fill=fill, jittered=jitter is not None, masked=mask is not None, block=_BLOCK, bins=_BINS,
            )  # fmt: skip

    launch(origins, origins, fill=False)
    sums = first.cumsum(0, dtype=torch.int64)
    total = int(sums[-1])
    if total > _MOST:
        raise torch.OutOfMemoryError(
            f"out of memory: {total} samples at once are more than the kernels can number"
        )
    first = sums.int()
    # Both launches decide what is kept, and a compiler may round them differently: a bin in ten million then
    # counts here and not there. So what is left out must be harmless, and one too many must have room.
    t = torch.zeros(total + _SPARE, device=origins.device)
    ray = torch.zeros(total + _SPARE, dtype=torch.int32, device=origins.device)
    launch(t, ray, fill=True)
    return Marched(origins, directions, t[:total], ray[:total], first, length, width)
