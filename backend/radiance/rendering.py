# SPDX-License-Identifier: GPL-3.0-or-later
"""Volume rendering with packed samples: the field is asked only where something is, and can be seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from backend.radiance.compositing import transmittance, volume_weights
from backend.radiance.field import RadianceField
from backend.radiance.normals import surface
from backend.radiance.occupancy import OccupancyGrid
from backend.radiance.rendered import EARLY_STOP, Rendered

__all__ = ["Rendered", "Samples", "march", "render", "volume_weights"]


@dataclass(frozen=True)
class Samples:
    """Places along R rays, S bins of one length a ray, of which only the kept ones are evaluated.

    keep (R,S) bool; slot (N,) indices of the kept ones in the flattened (R,S), sorted by ray, front to back;
    ray (N,) index of the ray; t (R,S) distance from the ray's origin, given also where keep is False;
    length: world units of a bin; points (N,3) world.
    """

    keep: Tensor
    slot: Tensor
    ray: Tensor
    t: Tensor
    length: float
    points: Tensor


Shade = Callable[[Tensor, Tensor | None, Tensor, Tensor], Tensor]


def render(
    field: RadianceField,
    occupancy: OccupancyGrid | None,
    origins: Tensor,
    directions: Tensor,
    background: Tensor | None = None,
    samples: int = 64,
    jitter: Tensor | None = None,
    early_stop: float = EARLY_STOP,
    normals: str = "none",
    normal_step: float = 0.0,
    shade: Shade | None = None,
    width: int = 0,
) -> Rendered:
    """Colour, opacity and depth of R rays.

    origins, directions (R,3), directions of unit length; background (R,3) or (3,) in 0..1, None
    for none (rgb is then multiplied by opacity).
    samples: bins across the diameter of the field's sphere; a shorter chord gets fewer.
    jitter: (R,) in 0..1, where in its bins each ray's samples lie; None puts them in the middles.
    early_stop: samples reached by less light than this are dropped before colours and gradients; 0 keeps all,
    and saves the second of two synchronisations with a GPU.
    normals: "none", "analytic" or "finite", as for `normals.surface`, with its `normal_step` in world units.
    shade: `(colour, normals, points, ray) -> colour` puts the object under a light. width: rays in a row of
    the picture, if these are whole rows; neighbours are then rendered together where that is faster.
    Gradients reach the field and the background. On a GPU `backend.radiance.fused` does the work where it
    can.
    """
    if field.fused and normals != "finite":
        from backend.radiance.fused.marching import march as find
        from backend.radiance.fused.rendering import render_marched

        with torch.no_grad():
            marched = find(field.bound, occupancy, origins, directions, samples, jitter, width)
        return render_marched(field, marched, background, normals == "analytic", shade, early_stop)
    with torch.no_grad():
        found = march(field.bound, occupancy, origins, directions, samples, jitter)
        if early_stop > 0:
            found = _drop_hidden(field, found, origins, directions, early_stop)
    density, colour, direction = surface(field, found.points, normals, normal_step)
    if shade is not None:
        colour = shade(colour, direction, found.points, found.ray)
    weights = volume_weights(_spread(density, found), found.length)
    packed = weights.view(-1).index_select(0, found.slot)
    count = found.keep.sum(1)
    # Unlike index_add, a segmented sum adds in a fixed order on every device.
    rgb = torch.segment_reduce(packed[:, None] * colour, "sum", lengths=count, unsafe=True, initial=0)
    opacity = weights.sum(1)
    if background is not None:
        rgb = rgb + (1 - opacity)[:, None] * background
    depth = (weights * found.t).sum(1)
    return Rendered(rgb, opacity, depth, packed, density, found.ray, count.sum(), direction)


def march(
    bound: float,
    occupancy: OccupancyGrid | None,
    origins: Tensor,
    directions: Tensor,
    samples: int,
    jitter: Tensor | None,
) -> Samples:
    """Places of a bin's length from where each ray enters the sphere `bound`, in occupied cells only."""
    half_chord_centre = -(origins * directions).sum(-1)
    discriminant = half_chord_centre.square() - origins.square().sum(-1) + bound**2
    root = discriminant.clamp_min(0).sqrt()
    near, far = (half_chord_centre - root).clamp_min(0), half_chord_centre + root
    length = 2 * bound / samples
    bins = torch.arange(samples, device=origins.device, dtype=origins.dtype)
    place = 0.5 if jitter is None else jitter[:, None]
    t = near[:, None] + (bins + place) * length
    keep = t < torch.where(discriminant > 0, far, near)[:, None]
    if occupancy is not None:
        keep &= occupancy.occupied_along(origins, directions, t)
    return _pack(keep, t, length, origins, directions)


def _drop_hidden(
    field: RadianceField, found: Samples, origins: Tensor, directions: Tensor, early_stop: float
) -> Samples:
    optical_depth = _spread(field.density(found.points), found) * found.length
    visible = found.keep & (transmittance(optical_depth) >= early_stop)
    return _pack(visible, found.t, found.length, origins, directions)


def _pack(keep: Tensor, t: Tensor, length: float, origins: Tensor, directions: Tensor) -> Samples:
    slot = keep.view(-1).nonzero().squeeze(1)
    ray = slot.div(keep.shape[1], rounding_mode="floor")
    distance = t.view(-1).index_select(0, slot)
    points = origins.index_select(0, ray) + distance[:, None] * directions.index_select(0, ray)
    return Samples(keep, slot, ray, t, length, points)


def _spread(values: Tensor, found: Samples) -> Tensor:
    """(N,) values of the kept samples in an (R,S) field of zeros."""
    return values.new_zeros(found.keep.numel()).index_copy(0, found.slot, values).view(found.keep.shape)
