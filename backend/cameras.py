# SPDX-License-Identifier: GPL-3.0-or-later
"""Pinhole cameras on orbits around the origin, their rays, and MVDream's camera conditioning.

World: right-handed, Z up, the front of an object faces -Y. A camera looks along its own -Z with +Y up.
Azimuth 0 is a camera at -Y and grows counter-clockwise seen from above; elevation is above the horizon.
Angles are in degrees at every interface. Batches are (object, view): the views of one object are neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from backend.errors import UserError


@dataclass(frozen=True)
class ViewRanges:
    """Ranges (low, high) cameras are drawn from; the defaults are MVDream's (paper, section 4.1).

    fov: vertical field of view, degrees. elevation: degrees above the horizon.
    relative_distance: distance from the origin times tan(fov / 2), so that an object fills the same part
    of the image at every field of view.
    Raises UserError naming the field for a range that is reversed or impossible.
    """

    fov: tuple[float, float] = (15.0, 60.0)
    elevation: tuple[float, float] = (0.0, 30.0)
    relative_distance: tuple[float, float] = (0.8, 1.0)

    def __post_init__(self) -> None:
        self._check("fov", 1.0, 170.0)
        self._check("elevation", -90.0, 90.0)
        self._check("relative_distance", 0.01, 100.0)

    def _check(self, name: str, lowest: float, highest: float) -> None:
        low, high = getattr(self, name)
        if not lowest <= low <= high <= highest:
            raise UserError(
                f"The camera range '{name}' is ({low:g}, {high:g}); "
                f"it must be (low, high) with both between {lowest:g} and {highest:g}."
            )


@dataclass(frozen=True)
class Views:
    """N cameras: c2w (N,4,4) camera to world; fov (vertical), azimuth and elevation (N,) in degrees;
    distance (N,) in world units."""

    c2w: Tensor
    fov: Tensor
    azimuth: Tensor
    elevation: Tensor
    distance: Tensor

    def __len__(self) -> int:
        return self.c2w.shape[0]


def orbit_c2w(
    azimuth: Tensor | Sequence[float] | float,
    elevation: Tensor | Sequence[float] | float,
    distance: Tensor | Sequence[float] | float,
) -> Tensor:
    """Camera-to-world matrices (N,4,4) float32 of cameras that look at the origin.

    azimuth, elevation (degrees) and distance (world units) are scalars or (N,), broadcast against each other.
    Columns are right, up, backward, position. The right vector comes from the azimuth alone,
    so a camera straight above or below keeps a definite roll.
    """
    tensors = [value for value in (azimuth, elevation, distance) if isinstance(value, Tensor)]
    device = tensors[0].device if tensors else torch.device("cpu")
    # float64 inside: the result is then right to the last bit of float32.
    values = [
        torch.as_tensor(v, dtype=torch.float64, device=device).reshape(-1)
        for v in (azimuth, elevation, distance)
    ]
    a, e, d = torch.broadcast_tensors(*values)
    a, e = torch.deg2rad(a), torch.deg2rad(e)
    zero, one = torch.zeros_like(a), torch.ones_like(a)
    right = torch.stack((a.cos(), a.sin(), zero, zero), -1)
    up = torch.stack((-e.sin() * a.sin(), e.sin() * a.cos(), e.cos(), zero), -1)
    backward = torch.stack((e.cos() * a.sin(), -e.cos() * a.cos(), e.sin(), zero), -1)
    position = backward * d[:, None] + torch.stack((zero, zero, zero, one), -1)
    return torch.stack((right, up, backward, position), -1).float()


def conditioning(c2w: Tensor) -> Tensor:
    """MVDream's camera input (N,16): c2w (N,4,4), its translation scaled to unit length, row by row.

    The argument is left as it is.
    """
    normalised = c2w.clone()
    translation = c2w[:, :3, 3]
    normalised[:, :3, 3] = translation / (translation.norm(dim=-1, keepdim=True) + 1e-8)
    return normalised.flatten(1)


def rays(c2w: Tensor, fov: Tensor | float, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Origins and unit directions, both (N,height,width,3), through the pixel centres.

    c2w (N,4,4); fov vertical in degrees, one number or (N,). Row 0 is the top of the image,
    column 0 its left.
    """
    half = torch.deg2rad(torch.as_tensor(fov, dtype=c2w.dtype, device=c2w.device)) / 2
    focal = (height / (2 * torch.tan(half))).expand(c2w.shape[0])[:, None, None]
    x = torch.arange(width, dtype=c2w.dtype, device=c2w.device) + 0.5 - width / 2
    y = height / 2 - 0.5 - torch.arange(height, dtype=c2w.dtype, device=c2w.device)
    shape = (c2w.shape[0], height, width)
    columns, rows = (x / focal).expand(shape), (y[:, None] / focal).expand(shape)
    local = torch.stack((columns, rows, torch.full_like(columns, -1)), -1)
    directions = torch.einsum("nhwk,njk->nhwj", local, c2w[:, :3, :3])
    directions = torch.nn.functional.normalize(directions, dim=-1)
    return c2w[:, None, None, :3, 3].expand_as(directions), directions


def sample_views(
    objects: int,
    ranges: ViewRanges,
    views: int = 4,
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
) -> Views:
    """Random cameras for `objects` objects, `views` each: N = objects * views, grouped by object.

    The views of an object share field of view, elevation and distance (uniform in `ranges`; the distance is
    the relative one over tan(fov / 2)); their azimuths are 360 / views apart from a start uniform in 0..360.
    """
    source = generator.device if generator is not None else torch.device(device)
    draws = torch.rand(objects, 4, generator=generator, device=source, dtype=torch.float64).to(device)

    def between(column: int, low_high: tuple[float, float]) -> Tensor:
        low, high = low_high
        return (low + (high - low) * draws[:, column]).repeat_interleave(views)

    fov, elevation = between(0, ranges.fov), between(1, ranges.elevation)
    distance = between(2, ranges.relative_distance) / torch.tan(torch.deg2rad(fov) / 2)
    turn = torch.arange(views, dtype=torch.float64, device=draws.device).repeat(objects) * (360 / views)
    azimuth = (between(3, (0.0, 360.0)) + turn) % 360
    return _views(azimuth, elevation, distance, fov)


def orbit_views(
    count: int,
    elevation: float,
    distance: float,
    fov: float,
    device: torch.device | str = "cpu",
    start: float = 0.0,
) -> Views:
    """A turntable: `count` cameras 360 / count degrees apart from azimuth `start`, all at one elevation
    (degrees), distance (world units) and vertical field of view (degrees)."""
    azimuth = (start + torch.arange(count, dtype=torch.float64, device=device) * (360 / count)) % 360
    return _views(azimuth, *(torch.full_like(azimuth, value) for value in (elevation, distance, fov)))


def distance_for(fov: float, relative_distance: float) -> float:
    """Distance in world units for a relative distance and a vertical field of view in degrees."""
    return relative_distance / math.tan(math.radians(fov) / 2)


def _views(azimuth: Tensor, elevation: Tensor, distance: Tensor, fov: Tensor) -> Views:
    c2w = orbit_c2w(azimuth, elevation, distance)
    return Views(c2w, fov.float(), azimuth.float(), elevation.float(), distance.float())
