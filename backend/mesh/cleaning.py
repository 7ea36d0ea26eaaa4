# SPDX-License-Identifier: GPL-3.0-or-later
"""Removes the crumbs that float around an extracted object."""

from __future__ import annotations

import numpy as np

from backend.mesh.measures import face_areas, face_components, face_volumes
from backend.mesh.tri_mesh import TriMesh


def count_components(mesh: TriMesh) -> int:
    """Number of separate pieces; vertices at the same place count as one, so UV seams don't split a piece."""
    return face_components(mesh)[0]


def remove_floaters(mesh: TriMesh, fraction: float = 0.03) -> TriMesh:
    """Keeps the pieces with at least `fraction` of the largest piece's area.

    The default drops what is less than a sixth of the main object across, and keeps both objects of "X next
    to Y". Pieces that are wound inward are walls of a cavity, seen by nobody, and go too.
    """
    count, piece = face_components(mesh)
    area = np.bincount(piece, face_areas(mesh), count)
    solid = np.bincount(piece, face_volumes(mesh), count) > 0
    if not solid.any():  # an open or inverted mesh: size alone decides
        solid[:] = True
    keep = solid & (area >= fraction * area[solid].max(initial=0.0))
    return mesh.with_faces(keep[piece])
