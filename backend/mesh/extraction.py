# SPDX-License-Identifier: GPL-3.0-or-later
"""From a density field to a closed triangle mesh."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import label
from skimage.measure import marching_cubes

from backend.errors import UserError
from backend.mesh.field_sampling import FieldFunction, evaluate
from backend.mesh.measures import volume
from backend.mesh.smoothing import smooth
from backend.mesh.threshold import find_threshold
from backend.mesh.tri_mesh import TriMesh

LOG_RANGE = 6.0
"""Log-densities are cut this far from the level, so that a hard 0 doesn't pull vertices to one side."""


def extract(
    density_fn: FieldFunction,
    bound: float,
    resolution: int = 96,
    threshold: float | None = None,
    smoothing: int = 10,
    device: torch.device | str = "cpu",
) -> TriMesh:
    """The surface of a field inside the sphere of radius `bound`, closed and wound outward.

    density_fn: (N, 3) tensor on `device` -> (N,) densities >= 0 per world unit, as the volume renderer uses
    them. resolution: samples along an axis. threshold: density of the surface; None finds it
    (`find_threshold`). smoothing: iterations of `smooth`, 0 for none. Cavities that can't be seen from
    outside are filled.

    Raises UserError when the field is empty, has nothing above a given threshold, or is not a number.
    """
    density, spacing = sample_grid(density_fn, bound, resolution, device)
    level = find_threshold(density, spacing) if threshold is None else threshold
    signed = _log_ratio(density, level)
    if not (signed > 0).any():
        raise UserError(
            f"The field has no surface at density {level:g}: its largest density is {density.max():.3g}. "
            "Leave the threshold out to have it found."
        )
    signed = np.minimum(signed, _inside_sphere(bound, resolution) * 2)
    signed = _fill_cavities(np.pad(signed, 1, constant_values=-LOG_RANGE))
    mesh = _isosurface(signed, spacing, origin=-bound - spacing)
    return smooth(mesh, smoothing) if smoothing else mesh


def sample_grid(
    density_fn: FieldFunction, bound: float, resolution: int, device: torch.device | str = "cpu"
) -> tuple[NDArray[np.float32], float]:
    """Densities (X, Y, Z) at `resolution` points an axis over [-bound, bound], and the points' spacing.

    Outside the sphere of radius `bound` they are 0.

    Raises UserError when the field answers with something that is not a number.
    """
    axis = np.linspace(-bound, bound, resolution, dtype=np.float32)
    inside = _inside_sphere(bound, resolution) > 0
    # Only the sphere was ever optimised, and half of the cube lies outside it.
    points = np.stack([axis[index] for index in np.nonzero(inside)], axis=1)
    values = evaluate(density_fn, points, device)
    if not np.isfinite(values).all():
        raise UserError(
            "The optimised field holds values that are not numbers: the optimisation diverged. "
            "Try another seed or a smaller guidance scale."
        )
    density = np.zeros((resolution,) * 3, dtype=np.float32)
    density[inside] = np.maximum(values, 0)
    return density, 2 * bound / (resolution - 1)


def _inside_sphere(bound: float, resolution: int) -> NDArray[np.float32]:
    """Distance of every grid point to the sphere, in grid steps, positive inside."""
    square = np.linspace(-bound, bound, resolution, dtype=np.float32) ** 2
    radius = np.sqrt(square[:, None, None] + square[None, :, None] + square[None, None, :])
    return (bound - radius) * ((resolution - 1) / (2 * bound))


def _log_ratio(density: NDArray[np.float32], level: float) -> NDArray[np.float32]:
    """log(density / level), cut to +-LOG_RANGE and never quite 0.

    A soft edge falls off exponentially, so its logarithm is the straight line that marching cubes
    interpolates without steps; a value of exactly 0 would give triangles without area.
    """
    tiny = level * np.exp(-LOG_RANGE)
    ratio = np.log(np.maximum(density, tiny) / level)
    ratio = np.minimum(ratio, LOG_RANGE)
    return np.where(np.abs(ratio) < 1e-3, np.copysign(np.float32(1e-3), ratio), ratio).astype(np.float32)


def _fill_cavities(signed: NDArray[np.float32]) -> NDArray[np.float32]:
    """Makes every empty region solid that isn't joined to the corner of the grid, which lies outside."""
    regions, _ = label(signed <= 0)
    hidden = (regions > 0) & (regions != regions[0, 0, 0])
    return np.where(hidden, np.float32(LOG_RANGE), signed)


def _isosurface(signed: NDArray[Any], spacing: float, origin: float) -> TriMesh:
    vertices, faces, _, _ = marching_cubes(signed, 0.0, spacing=(spacing,) * 3, gradient_direction="ascent")
    mesh = TriMesh(vertices + origin, faces)
    return mesh if volume(mesh) > 0 else TriMesh(mesh.vertices, mesh.faces[:, ::-1])
