# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the colours of a field into a mesh's texture."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from backend.errors import UserError
from backend.mesh.field_sampling import FieldFunction, evaluate
from backend.mesh.tri_mesh import FloatArray, TriMesh
from backend.mesh.triangle_pixels import triangle_pixels

RIM = 1.5
"""Texels beyond a chart's outline that get a colour of their own: all that bilinear filtering can reach."""


def bake(
    mesh: TriMesh,
    colour_fn: FieldFunction,
    size: int = 1024,
    positions: FloatArray | None = None,
    device: torch.device | str = "cpu",
) -> TriMesh:
    """The mesh with a texture (size, size, 3) of the colours at its surface.

    colour_fn: (N, 3) world points on `device` -> (N, 3) sRGB in 0..1, clipped. positions: (V, 3) where to
    read the colour of each vertex instead of at the vertex itself, e.g. `visible_points`. Every texel
    without surface takes the nearest one that has some, so no background can bleed through seams or mipmaps.

    Raises UserError for a mesh without UVs, or UVs without area.
    """
    if mesh.uv is None:
        raise UserError("The mesh has no UV coordinates to bake a texture for: unwrap it first.")
    face, weights = surface_texels(mesh, size)
    filled = face >= 0
    if not filled.any():
        raise UserError("The mesh's UV coordinates cover nothing of the texture: unwrap it again.")
    places = (mesh.vertices if positions is None else positions)[mesh.faces[face[filled]]]
    points = np.einsum("nk,nkd->nd", weights[filled], places)
    colours = np.clip(np.nan_to_num(evaluate(colour_fn, points, device)), 0, 1)
    texture = np.zeros((size, size, 3), dtype=np.uint8)
    texture[filled] = np.round(colours * 255)
    row, column = distance_transform_edt(~filled, return_distances=False, return_indices=True)
    return replace(mesh, texture=texture[row, column])


def surface_texels(mesh: TriMesh, size: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Face (size, size) of every texel, -1 where there is none, and barycentrics (size, size, 3) within it.

    Texels whose centre lies up to RIM outside their chart belong to the nearest face, with the weights of a
    point on its edge.
    """
    assert mesh.uv is not None
    corners = (mesh.uv * (1, -1) + (0, 1))[mesh.faces] * size
    owner = np.full((size, size), -1, dtype=np.int32)
    weights = np.zeros((size, size, 3), dtype=np.float32)
    for found in triangle_pixels(corners, size, size):
        inside = found.weights.min(axis=1) >= 0
        owner[found.row[inside], found.column[inside]] = found.face[inside]
        weights[found.row[inside], found.column[inside]] = found.weights[inside]
    rim = []
    for found in triangle_pixels(corners, size, size, margin=RIM):
        free = owner[found.row, found.column] < 0
        rim.append(_near(corners, *(part[free] for part in found)))
    if rim:
        face, row, column, clamped, distance = (np.concatenate(parts) for parts in zip(*rim, strict=True))
        # Written from far to near, so the nearest face has the last word.
        order = np.argsort(-distance, kind="stable")
        owner[row[order], column[order]] = face[order]
        weights[row[order], column[order]] = clamped[order]
    return owner, weights


def _near(
    corners: NDArray[Any], face: NDArray[Any], row: NDArray[Any], column: NDArray[Any], weights: NDArray[Any]
) -> tuple[NDArray[Any], ...]:
    """Of texels outside their face those within RIM: weights moved onto its outline, and the distance."""
    clamped = np.maximum(weights, 0)
    clamped /= clamped.sum(axis=1, keepdims=True)
    reached = np.einsum("nk,nkd->nd", clamped, corners[face])
    distance = np.hypot(reached[:, 0] - column - 0.5, reached[:, 1] - row - 0.5)
    near = distance <= RIM
    return face[near], row[near], column[near], clamped[near], distance[near]


def visible_points(
    mesh: TriMesh,
    density_fn: FieldFunction,
    reach: float,
    samples: int = 16,
    device: torch.device | str = "cpu",
) -> NDArray[np.float32]:
    """Where the volume renderer sees the colour of each vertex: (V, 3) points a little below a soft surface.

    A ray enters at the vertex against its normal; the answer is the expected depth of its absorption within
    `reach` world units, sum(w t) / sum(w) with w the weights of volume rendering (NeRF, equation 3). The
    mesh needs normals. Raises UserError when it has none.
    """
    if mesh.normals is None:
        raise UserError("The mesh has no normals to look along: compute them first.")
    step = reach / samples
    depth = (np.arange(samples, dtype=np.float32) + 0.5) * step
    points = mesh.vertices[:, None] - depth[:, None] * mesh.normals[:, None]
    density = evaluate(density_fn, points.reshape(-1, 3), device).reshape(-1, samples)
    thickness = np.maximum(density, 0) * step
    passed = np.exp(-(np.cumsum(thickness, axis=1) - thickness))
    weights = passed * (1 - np.exp(-thickness)) + 1e-9
    mean = (weights * depth).sum(axis=1) / weights.sum(axis=1)
    return mesh.vertices - mean[:, None] * mesh.normals
