# SPDX-License-Identifier: GPL-3.0-or-later
"""Pieces of a mesh that hang in the air."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from backend.evaluation.heldout import Reference
from backend.evaluation.outlines import scaled_masks
from backend.mesh.measures import face_areas, face_components
from backend.mesh.rasterizer import rasterize
from backend.mesh.tri_mesh import TriMesh

TINY = 0.01  # of the mesh's area
GAP = 0.03  # world units, a fiftieth of the object: what is nearer to the rest looks stuck to it
DILATION = 3  # pixels by which a true silhouette is widened before a piece counts as outside
MOSTLY = 0.5
LEAST_PIXELS = 2  # a piece hidden in the object in all views disturbs nobody
SAMPLES = 30_000


def count_floaters(mesh: TriMesh, reference: Reference, scale: float) -> int:
    """Number of visible pieces of `mesh`, beyond the largest (the two largest where there are two objects),
    that have air all around and are tiny or lie mostly outside the true silhouette in some view.

    A large piece inside the true silhouettes is none: true objects are made of pieces too.
    scale: by which the mesh's views are enlarged to match the reference.
    """
    count, piece = face_components(mesh)
    expected = 2 if reference.composed else 1
    if count <= expected:
        return 0
    area = np.bincount(piece, face_areas(mesh), count)
    height, width = reference.part_maps.shape[1:]
    seen = rasterize(mesh, reference.c2w, reference.fov, height, width).faces
    pieces = np.where(seen >= 0, piece[np.maximum(seen, 0)], -1)
    near = ndimage.binary_dilation(reference.silhouettes, np.ones((1, 3, 3), bool), iterations=DILATION)
    points, owner = _surface_points(mesh, piece)
    floating = 0
    for index in np.argsort(-area, kind="stable")[expected:]:
        mask = scaled_masks(pieces == index, scale)
        if mask.sum() < LEAST_PIXELS or not (area[index] < TINY * area.sum() or _outside(mask, near)):
            continue
        own = mesh.vertices[np.unique(mesh.faces[piece == index])]
        distance, _ = KDTree(points[owner != index]).query(own)
        floating += bool(distance.min() > GAP)
    return floating


def _outside(mask: NDArray[np.bool_], near: NDArray[np.bool_]) -> bool:
    pixels = mask.sum(axis=(1, 2))
    outside = (mask & ~near).sum(axis=(1, 2))
    return bool(((pixels >= LEAST_PIXELS) & (outside > MOSTLY * pixels)).any())


def _surface_points(
    mesh: TriMesh, piece: NDArray[np.integer]
) -> tuple[NDArray[np.float64], NDArray[np.integer]]:
    """Points all over the mesh, (N, 3), the same ones every time, and the piece (N,) each lies on."""
    rng = np.random.default_rng(0)
    area = face_areas(mesh)
    face = rng.choice(len(mesh.faces), SAMPLES, p=area / area.sum())
    weights = rng.dirichlet((1, 1, 1), SAMPLES)
    return np.einsum("nk,nkd->nd", weights, mesh.corners()[face]), piece[face]
