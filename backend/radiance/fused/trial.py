# SPDX-License-Identifier: GPL-3.0-or-later
"""Are the kernels to be trusted on this card? Tried once for a field's sizes, against plain PyTorch.

With and without normals, for whole pictures and for any rays, with and without gradients, and for points
alone; of their products not all, so a shaded job that renders in parts compiles one more when it begins to.
Triton keeps what is compiled on disk, so this takes long once.
"""

from __future__ import annotations

import functools
import itertools
import logging
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from backend.kernel_switch import kernels_allowed
from backend.kernel_trial import ends_well, side_by_side
from backend.radiance.field import RadianceField
from backend.radiance.fused.compositing import composite
from backend.radiance.fused.field import at_points, evaluate
from backend.radiance.fused.marching import Marched, march
from backend.radiance.hash_grid import HashGrid
from backend.radiance.occupancy import OccupancyGrid
from backend.radiance.rendering import Samples, volume_weights
from backend.radiance.rendering import march as plain_march

log = logging.getLogger(__name__)

_SIDE, _SAMPLES = 16, 24
_TOLERANCE = 0.1
"""Relative. bfloat16 gradients, of which many cancel, make up to a third of it; a wrong kernel makes more."""
_MOVED = 4
"""Rays whose samples may be others than PyTorch's: rounding moves one in a million over a cell's border."""


def fused_works(levels: int, hidden: int) -> bool:
    """Whether the kernels run on the current GPU and give what PyTorch gives, for fields of these sizes.

    Raises UserError where they crashed, for then nothing else works on that GPU either.
    """
    if not kernels_allowed():
        return False
    return _works_on(torch.cuda.current_device() if torch.cuda.is_available() else -1, levels, hidden)


@functools.cache
def _works_on(_device: int, levels: int, hidden: int) -> bool:
    return ends_well(
        lambda: _agrees(levels, hidden),
        "The field's kernels can't be used (%s); PyTorch does the work, more slowly.",
    )


def _agrees(levels: int, hidden: int) -> bool:
    found = errors(levels, hidden)
    if all(error <= _TOLERANCE for error in found):
        return True
    said = ", ".join(f"{error:.1e}" for error in found)
    log.warning("The field's kernels differ from PyTorch here (%s), so they are not used.", said)
    return False


@torch.enable_grad()
def errors(levels: int, hidden: int) -> list[float]:
    """Relative errors: of the samples found, of pictures and gradients of a small field, of points alone.

    With gradients even where the caller has switched them off, as the occupancy grid does.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    start = torch.Generator().manual_seed(0)
    grid = HashGrid(levels, log2_size=10, base=4, finest=64, init_scale=0.5, generator=start, kernels="torch")
    # As the kernels read it: else ReLUs near 0 fall to the other side, and gradients with them.
    grid.table.data = grid.table.data.half().float()
    field = RadianceField(grid, hidden=hidden, generator=start, bias=False).to(device)
    marched, other = _march(field, start)
    weights = torch.randn(_SIDE**2, 3, generator=start).to(device)
    x = (torch.rand(300, 3, generator=start) * 2 - 1).to(device)

    def with_gradients(width: int, normals: bool) -> list[float]:
        samples, results = replace(marched, width=width), []
        for render in (_render, _plainly):
            rgb, push = render(field, samples, normals)
            gradients = torch.autograd.grad((rgb * weights).sum() + push, list(field.parameters()))
            results.append([rgb.detach(), *gradients])
        return [_error(a, b) for a, b in zip(*results, strict=True)]

    def without() -> list[float]:
        with torch.no_grad():
            return [_error(_render(field, marched, False)[0], _plainly(field, marched, False)[0])]

    def at_places() -> list[float]:
        density, colour = field(x)  # by PyTorch, as this grid has no kernels
        points = (*at_points(field, x, True), at_points(field, x, False)[0])
        return [_error(a, b) for a, b in zip(points, (density, colour, density), strict=True)]

    works = [partial(with_gradients, *each) for each in ((_SIDE, True), (_SIDE, False), (0, False))]
    return [other, *itertools.chain(*side_by_side([*works, without, at_places]))]


def _march(field: RadianceField, start: torch.Generator) -> tuple[Marched, float]:
    """Samples of a picture in a grid with holes, and 0; 1 where they are others than PyTorch's."""
    device = next(field.parameters()).device
    across = torch.rand(_SIDE**2, 2, generator=start) - 0.5
    origins = torch.cat((across, torch.full((_SIDE**2, 1), -2.0)), 1).to(device)
    directions = torch.tensor([0.0, 0.0, 1.0], device=device).expand_as(origins).contiguous()
    occupancy = OccupancyGrid(field.bound, resolution=16)
    occupancy.mask.copy_(torch.rand(occupancy.mask.shape, generator=start) < 0.7)
    jitter = torch.rand(_SIDE**2, generator=start).to(device)
    given = field.bound, occupancy.to(device), origins, directions, _SAMPLES
    middles, found = march(*given, None), march(*given, jitter, width=_SIDE)
    moved = _moved(middles, plain_march(*given, None)) + _moved(found, plain_march(*given, jitter))
    return found, float(moved > _MOVED)


def _moved(found: Marched, expected: Samples) -> int:
    """How many rays have other samples, by the sum of their distances."""
    distances = expected.t.reshape(-1).index_select(0, expected.slot)
    sums = [
        torch.zeros(len(found.origins), device=t.device).index_add(0, ray.long(), t)
        for ray, t in ((found.ray, found.t), (expected.ray, distances))
    ]
    return int(((sums[0] - sums[1]).abs() > 1e-3).sum())


def _render(field: RadianceField, marched: Marched, normals: bool) -> tuple[Tensor, Tensor]:
    seen = evaluate(field, marched, normals, early_stop=0.0)
    rgb, _, _, weights = composite(seen.density, seen.colour, seen.live, marched)
    return rgb, _push(weights, seen.gradient)


def _plainly(field: RadianceField, marched: Marched, normals: bool) -> tuple[Tensor, Tensor]:
    """The same of the same samples."""
    ray = marched.ray.long()
    points = marched.origins[ray] + marched.t[:, None] * marched.directions[ray]
    density, colour, gradient = field.with_gradient(points) if normals else (*field(points), None)
    place = torch.arange(len(ray), device=ray.device) - marched.first[ray]
    spread = density.new_zeros(len(marched.origins), _SAMPLES).index_put((ray, place), density)
    weights = volume_weights(spread, marched.length)[ray, place]
    rgb = torch.zeros_like(marched.origins).index_add(0, ray, weights[:, None] * colour)
    return rgb, _push(weights, gradient)


def _push(weights: Tensor, gradient: Tensor | None) -> Tensor:
    """A loss on normals, where there are any."""
    if gradient is None:
        return weights.new_zeros(())
    return (weights * F.normalize(gradient, dim=-1, eps=1e-6)[:, 2]).sum()


def _error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).detach().norm() / expected.detach().norm())
