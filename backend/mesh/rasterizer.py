# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds which face each pixel of a pinhole camera sees: a z-buffer in numpy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backend.mesh.tri_mesh import TriMesh
from backend.mesh.triangle_pixels import triangle_pixels

NEAR = 1e-3


class Raster(NamedTuple):
    """What N cameras see of a mesh."""

    faces: NDArray[np.int32]  # (N, H, W) index of the face, -1 for background
    barycentrics: NDArray[np.float32]  # (N, H, W, 3) perspective-correct weights of its corners, else 0
    depth: NDArray[np.float32]  # (N, H, W) distance along the viewing axis, infinite for background


def rasterize(mesh: TriMesh, c2w: Any, fov: Any, height: int, width: int) -> Raster:
    """The nearest face at every pixel centre.

    c2w: (N, 4, 4) camera-to-world, array or tensor, cameras look along -Z with +Y up. fov: vertical field of
    view in degrees, one number or (N,). Both sides of a face are seen. A face that reaches behind a camera
    is left out: cameras are meant to stand outside the object.
    """
    matrices, angles = _cameras(c2w, fov)
    shape = (len(matrices), height, width)
    result = Raster(
        np.full(shape, -1, np.int32), np.zeros((*shape, 3), np.float32), np.full(shape, np.inf, np.float32)
    )
    for view, (matrix, angle) in enumerate(zip(matrices, angles, strict=True)):
        _one_view(mesh, matrix, angle, Raster(*(part[view] for part in result)))
    return result


def _cameras(c2w: Any, fov: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    matrices, angles = _array(c2w), _array(fov)
    if matrices.ndim != 3 or matrices.shape[1:] != (4, 4):
        raise ValueError(f"c2w must have shape (N, 4, 4), not {matrices.shape}")
    return matrices, np.broadcast_to(angles, len(matrices))


def _array(value: Any) -> NDArray[np.float64]:
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value, np.float64)


def _one_view(mesh: TriMesh, matrix: NDArray[np.float64], angle: float, out: Raster) -> None:
    height, width = out.faces.shape
    seen = (mesh.vertices - matrix[:3, 3]) @ matrix[:3, :3]  # the rotation's inverse is its transpose
    depth = -seen[:, 2]
    focal = 0.5 * height / np.tan(np.radians(angle) / 2)
    scale = focal / np.maximum(depth, NEAR)
    pixels = np.stack([0.5 * width + scale * seen[:, 0], 0.5 * height - scale * seen[:, 1]], axis=1)
    visible = np.flatnonzero((depth[mesh.faces] > NEAR).all(axis=1))
    faces = mesh.faces[visible]
    for found in triangle_pixels(pixels[faces], height, width):
        inside = found.weights.min(axis=1) >= -1e-9
        face, row, column, flat = (part[inside] for part in found)
        # 1 / depth is linear on the screen, and so are the weights divided by the depth.
        by_depth = flat / depth[faces[face]]
        distance = (1 / by_depth.sum(axis=1)).astype(np.float32)
        # Written from far to near, so the nearest face has the last word.
        order = np.argsort(-distance, kind="stable")
        order = order[distance[order] < out.depth[row[order], column[order]]]
        row, column = row[order], column[order]
        out.depth[row, column] = distance[order]
        out.faces[row, column] = visible[face[order]]
        out.barycentrics[row, column] = by_depth[order] * distance[order, None]
