# SPDX-License-Identifier: GPL-3.0-or-later
"""Are the kernels to be trusted on this card? Tried once, against plain PyTorch."""

from __future__ import annotations

import functools
import logging

import torch
import torch.nn.functional as F
from torch import Tensor

from backend.radiance.field import RadianceField
from backend.radiance.fused.compositing import composite
from backend.radiance.fused.field import evaluate
from backend.radiance.fused.marching import march
from backend.radiance.hash_grid import HashGrid
from backend.radiance.rendering import march as plain_march
from backend.radiance.rendering import volume_weights

log = logging.getLogger(__name__)

_RAYS = 256
_TOLERANCE = 3e-2
"""Relative; TF32 products and bfloat16 gradients make about a tenth of it."""


def fused_works() -> bool:
    """Whether the kernels run on the current GPU and give what PyTorch gives."""
    return _works_on(torch.cuda.current_device() if torch.cuda.is_available() else -1)


@functools.cache
def _works_on(_device: int) -> bool:
    try:
        return _agrees()
    except Exception as error:  # noqa: BLE001 - compiler, driver, card: anything can go wrong
        log.warning("The field's kernels can't be used (%s); PyTorch does the work, more slowly.", error)
        return False


@torch.enable_grad()
def _agrees() -> bool:
    """Pictures of a small field, and what a loss on them gives back to its parameters."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    start = torch.Generator().manual_seed(0)
    grid = HashGrid(16, log2_size=10, base=4, finest=64, init_scale=0.5, generator=start, kernels="torch")
    # As the kernels read it: else ReLUs near 0 fall to the other side, and gradients with them.
    grid.table.data = grid.table.data.half().float()
    field = RadianceField(grid, hidden=64, generator=start, bias=False).to(device)
    across = torch.rand(_RAYS, 2, generator=start) - 0.5
    origins = torch.cat((across, torch.full((_RAYS, 1), -2.0)), 1).to(device)
    directions = torch.tensor([0.0, 0.0, 1.0], device=device).expand_as(origins).contiguous()
    weights = torch.randn(_RAYS, 3, generator=start).to(device)
    results: list[list[Tensor]] = []
    for render in (_render, _plainly):
        rgb, normals = render(field, origins, directions)
        gradients = torch.autograd.grad((rgb * weights).sum() + normals, list(field.parameters()))
        results.append([rgb.detach(), *gradients])
    errors = [float((a - b).norm() / b.norm()) for a, b in zip(*results, strict=True)]
    if all(error <= _TOLERANCE for error in errors):
        return True
    found = ", ".join(f"{error:.1e}" for error in errors)
    log.warning("The field's kernels differ from PyTorch here (%s), so they are not used.", found)
    return False


def _render(field: RadianceField, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    marched = march(field.bound, None, origins, directions, 16, None, width=8)
    seen = evaluate(field, marched, want_gradient=True, early_stop=0.0)
    assert seen.gradient is not None
    rgb, _, _, weights = composite(seen.density, seen.colour, seen.live, marched)
    return rgb, _push(weights, seen.gradient)


def _plainly(field: RadianceField, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        found = plain_march(field.bound, None, origins, directions, 16, None)
    density, colour, gradient = field.with_gradient(found.points)
    spread = density.new_zeros(found.keep.shape).masked_scatter(found.keep, density)
    weights = volume_weights(spread, found.length).view(-1).index_select(0, found.slot)
    rgb = torch.zeros_like(origins).index_add(0, found.ray, weights[:, None] * colour)
    return rgb, _push(weights, gradient)


def _push(weights: Tensor, gradient: Tensor) -> Tensor:
    return (weights * F.normalize(gradient, dim=-1, eps=1e-6)[:, 2]).sum()
