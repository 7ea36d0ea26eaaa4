# SPDX-License-Identifier: GPL-3.0-or-later
"""Pieces of a mesh that hang in the air."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from backend.evaluation.heldout import Reference
from backend.evaluation.outlines import scaled_masks
from backend.mesh.measures import face_areas, face_components
from backend.mesh.rasterizer import rasterize
from backend.mesh.tri_mesh import TriMesh

TINY = 0.01  # of the mesh's area
DILATION = 3  # pixels by which a true silhouette is widened before a piece counts as outside
MOSTLY = 0.5
LEAST_PIXELS = 2  # a piece hidden in the object in all views disturbs nobody


def count_floaters(mesh: TriMesh, reference: Reference, scale: float) -> int:
    """Number of visible pieces of `mesh`, beyond the largest (the two largest for "X next to Y"), that are tiny
    or lie mostly outside the true silhouette in some view.

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
    extra = np.argsort(-area, kind="stable")[expected:]
    floating = 0
    for index in extra:
        mask = scaled_masks(pieces == index, scale)
        if mask.sum() >= LEAST_PIXELS and (area[index] < TINY * area.sum() or _outside(mask, near)):
            floating += 1
    return floating


def _outside(mask: NDArray[np.bool_], near: NDArray[np.bool_]) -> bool:
    pixels = mask.sum(axis=(1, 2))
    outside = (mask & ~near).sum(axis=(1, 2))
    return bool(((pixels >= LEAST_PIXELS) & (outside > MOSTLY * pixels)).any())
