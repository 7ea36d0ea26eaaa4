# SPDX-License-Identifier: GPL-3.0-or-later
"""Multi-resolution hash grid with tinycudann's memory layout: plain PyTorch, and Triton on a GPU where it is.

The parameter tensor can be exchanged with tinycudann's `HashGrid` encoding (same levels, resolutions, hash,
offsets and order of features), which is what makes one implementation a check of another.
Source: Müller et al., Instant Neural Graphics Primitives (2022), section 3; tinycudann's documentation.
"""

from __future__ import annotations

import functools
import logging
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from backend.kernel_switch import kernels_allowed
from backend.kernel_trial import ends_well
from backend.radiance.encodings import Encoding

PRIMES = (1, 2654435761, 805459861)
"""Factors of the spatial hash (paper, equation 4)."""

log = logging.getLogger(__name__)

_UINT32 = 0xFFFFFFFF
_ENTRY_MULTIPLE = 8


@dataclass(frozen=True)
class GridLevel:
    """Geometry of one level. offset and size count table entries, each of `features` numbers."""

    scale: float
    resolution: int
    offset: int
    size: int
    hashed: bool


def grid_levels(levels: int, log2_size: int, base: int, per_level_scale: float) -> tuple[GridLevel, ...]:
    """Geometry of all levels.

    scale_l = exp2(l log2(per_level_scale)) base - 1, resolution_l = ceil(scale_l) + 1. A level has
    resolution³ entries rounded up to a multiple of 8, at most 2^log2_size; it is hashed where resolution³
    does not fit. Computed in float32, as the CUDA code does, so that borderline resolutions agree.
    """
    log2_scale = np.log2(np.float32(per_level_scale))
    result, offset = [], 0
    for level in range(levels):
        scale = np.exp2(np.float32(level) * log2_scale) * np.float32(base) - np.float32(1)
        resolution = math.ceil(scale) + 1
        entries = -(-(resolution**3) // _ENTRY_MULTIPLE) * _ENTRY_MULTIPLE
        size = min(entries, 2**log2_size)
        result.append(GridLevel(float(scale), resolution, offset, size, hashed=resolution**3 > size))
        offset += size
    return tuple(result)


def entry_index(corner: Tensor, level: GridLevel) -> Tensor:
    """Table entry (…) within its level of integer grid corners (…,3), int64.

    Dense levels: x + y resolution + z resolution², hashed levels: xor of corner_i times prime_i in 32 bits;
    both modulo the level's size (a corner one past the end of a dense level wraps, as in tinycudann).
    """
    x, y, z = corner.unbind(-1)
    if level.hashed:
        index = ((x * PRIMES[0]) ^ (y * PRIMES[1]) ^ (z * PRIMES[2])) & _UINT32
    else:
        index = x + (y + z * level.resolution) * level.resolution
    return index % level.size


def triton_works() -> bool:
    """Whether the Triton kernels run on the current GPU and give what plain PyTorch gives.

    Tried once a GPU, on a small grid. PyTorch brings Triton on Linux; elsewhere it may be missing, and a
    driver may be too old for it. Raises UserError where the kernels crashed: nothing else works there either.
    """
    return kernels_allowed() and _triton_works_on(torch.cuda.current_device())


@functools.cache
def _triton_works_on(_device: int) -> bool:
    return ends_well(
        lambda: _agrees(*(_trial(kernels) for kernels in ("torch", "triton"))),
        "Triton can't be used (%s); the hash grid runs on plain PyTorch, more slowly.",
    )


@torch.enable_grad()
def _trial(kernels: str) -> tuple[Tensor, ...]:
    """Features of a few points on the GPU, and what they give back to table and positions.

    With gradients even where the caller has switched them off, as the occupancy grid does.
    """
    start = torch.Generator().manual_seed(0)
    grid = HashGrid(3, log2_size=8, base=4, finest=32, init_scale=1.0, generator=start, kernels=kernels)
    grid = grid.cuda()
    x = torch.rand(64, 3, generator=start).cuda()
    features = grid(x)
    (to_table,) = torch.autograd.grad(features.square().sum(), grid.table)
    g = features.detach().requires_grad_()
    pulled = grid.pull_back(x, g)
    again = torch.autograd.grad(pulled.square().sum(), (grid.table, g))
    return features.detach(), to_table, pulled.detach(), *again


def _agrees(expected: tuple[Tensor, ...], found: tuple[Tensor, ...]) -> bool:
    near = [bool((a - b).norm() <= 1e-3 * a.norm()) for a, b in zip(expected, found, strict=True)]
    if not all(near):
        log.warning("Triton computes something else than PyTorch here; the hash grid does without it.")
    return all(near)


class HashGrid(Encoding):
    """levels x features numbers for a position, from one flat parameter `table` (entries * features,).

    log2_size: log2 of the most entries a level may have. base and finest: resolutions of the first and
    the last level; each level is finer than the one before by the same factor, `per_level_scale` (given, it
    overrides finest).
    Defaults are MVDream's (16 levels of 2 features, 2^19 entries, 16 to 4096). Differentiable twice (with
    Triton through `pull_back` alone).
    kernels: "auto" (Triton on a GPU where it works), "torch", "triton" or "tinycudann" (if it was built; once
    differentiable). All share the one layout of the table, so a field can be trained with one of them and
    used with another. half_reads: Triton reads a half precision copy of the table, which fits a GPU's cache;
    gradients and the table itself stay float32.
    """

    scales: Tensor
    geometry: Tensor

    def __init__(
        self,
        levels: int = 16,
        features: int = 2,
        log2_size: int = 19,
        base: int = 16,
        finest: int = 4096,
        per_level_scale: float | None = None,
        init_scale: float = 1e-4,
        generator: torch.Generator | None = None,
        kernels: str = "auto",
        half_reads: bool = True,
    ) -> None:
        super().__init__()
        self.kernels = kernels
        self.half_reads = half_reads
        self._tinycudann: Any = None
        if per_level_scale is None:
            per_level_scale = (finest / base) ** (1 / (levels - 1)) if levels > 1 else 1.0
        self.features = features
        self.base, self.log2_size, self.per_level_scale = base, log2_size, float(per_level_scale)
        self.levels = grid_levels(levels, log2_size, base, per_level_scale)
        self.output_dim = levels * features
        entries = self.levels[-1].offset + self.levels[-1].size
        values = torch.rand(entries * features, generator=generator)
        self.table = nn.Parameter((values * 2 - 1) * init_scale)
        corners = torch.tensor([[i & 1, i >> 1 & 1, i >> 2 & 1] for i in range(8)])
        self.register_buffer("corners", corners, persistent=False)
        facts = [[level.resolution, level.size, level.offset, int(level.hashed)] for level in self.levels]
        self.register_buffer("geometry", torch.tensor(facts, dtype=torch.int32), persistent=False)
        scales = torch.tensor([level.scale for level in self.levels])
        self.register_buffer("scales", scales, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, levels * features) of positions x (N,3) in 0..1, coarse level first."""
        if self.has_kernels:
            from backend.radiance.hash_grid_triton import Encode

            return Encode.apply(x.contiguous(), self.table, self.scales, self.geometry, self.half_reads)
        if self.kernels == "tinycudann":
            return self._through_tinycudann(x)
        table = self.table.view(-1, self.features)
        return torch.cat([self._read(table, level, x) for level in self.levels], 1)

    def pull_back(self, x: Tensor, gradient: Tensor) -> Tensor:
        """See `Encoding`."""
        if not self.has_kernels:
            return super().pull_back(x, gradient)
        from backend.radiance.hash_grid_triton import PullBack

        return PullBack.apply(
            x.contiguous(), self.table, gradient, self.scales, self.geometry, self.half_reads
        )

    @property
    def has_kernels(self) -> bool:
        """Whether the kernels of `hash_grid_triton` do the work."""
        if self.kernels == "auto":
            return self.table.is_cuda and self.features == 2 and triton_works()
        return self.kernels == "triton"

    def _through_tinycudann(self, x: Tensor) -> Tensor:
        if self._tinycudann is None:
            from backend.radiance.hash_grid_tinycudann import TinyCudaEncoder

            self._tinycudann = TinyCudaEncoder(self)
        return self._tinycudann(x)

    def _read(self, table: Tensor, level: GridLevel, x: Tensor) -> Tensor:
        position = x * level.scale + 0.5
        lowest = position.detach().floor()
        fraction = (position - lowest)[:, None]
        corners: Tensor = self.corners  # type: ignore[assignment]
        index = entry_index(lowest.long()[:, None] + corners, level) + level.offset
        weight = torch.where(corners.bool(), fraction, 1 - fraction).prod(-1, keepdim=True)
        values = table.index_select(0, index.reshape(-1)).view(*index.shape, self.features)
        return (weight * values).sum(1)
