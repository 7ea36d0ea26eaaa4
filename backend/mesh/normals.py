# SPDX-License-Identifier: GPL-3.0-or-later
"""Smooth shading normals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from backend.mesh.measures import face_vectors, weld
from backend.mesh.tri_mesh import TriMesh


def with_normals(mesh: TriMesh) -> TriMesh:
    """The mesh with unit vertex normals: face normals weighted by the angle at the vertex.

    (Thürmer and Wüthrich 1998: the angle makes the result independent of how a flat place is cut into
    triangles.) Vertices at the same place get the same normal, so UV seams stay invisible. Vertices without
    a face look up.
    """
    corners = mesh.corners().astype(np.float64)
    to_next = np.roll(corners, -1, axis=1) - corners
    to_next /= np.maximum(np.linalg.norm(to_next, axis=2, keepdims=True), 1e-20)
    from_previous = np.roll(to_next, 1, axis=1)
    angles = np.arccos(np.clip(-(to_next * from_previous).sum(axis=2), -1, 1))
    vectors = face_vectors(mesh)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-20)
    weighted = angles[:, :, None] * vectors[:, None, :]
    first, position = weld(mesh.vertices)
    at_corner = position[mesh.faces].ravel()
    sums = np.stack(
        [np.bincount(at_corner, weighted[:, :, axis].ravel(), len(first)) for axis in range(3)], axis=1
    )
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    unit = np.where(lengths > 1e-12, sums / np.maximum(lengths, 1e-12), (0.0, 0.0, 1.0))
    return replace(mesh, normals=unit[position])
