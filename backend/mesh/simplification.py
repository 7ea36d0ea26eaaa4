# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings a mesh down to a face budget."""

from __future__ import annotations

import fast_simplification
import numpy as np

from backend.mesh.measures import edge_uses
from backend.mesh.tri_mesh import IntArray, TriMesh

FACE_BUDGET = 10_000
GENTLE_TO_ROUGH = (3.0, 4.0, 5.0, 7.0, 9.0)
"""Values of the library's aggressiveness: low ones keep the shape best, and may stop above the budget."""


def simplify(mesh: TriMesh, faces: int = FACE_BUDGET) -> TriMesh:
    """Quadric edge collapse (Garland and Heckbert 1997) down to at most about `faces` triangles.

    UVs, normals and texture are dropped: this comes before unwrapping. The library doesn't check that a
    collapse keeps the surface a manifold, so it is asked several times, and the first answer within the
    budget that is as closed as the input is taken, else the least damaged one. A mesh within the budget
    comes back as it is.
    """
    if len(mesh.faces) <= faces:
        return mesh
    allowed = _open_edges(mesh.faces)
    best: tuple[tuple[bool, int], TriMesh] | None = None
    for roughness in GENTLE_TO_ROUGH:
        candidate = _collapse(mesh, faces, roughness)
        rating = (len(candidate.faces) > faces, _open_edges(candidate.faces))
        if best is None or rating < best[0]:
            best = rating, candidate
        if rating <= (False, allowed):
            break
    assert best is not None
    return best[1]


def _collapse(mesh: TriMesh, faces: int, roughness: float) -> TriMesh:
    points, triangles = fast_simplification.simplify(
        mesh.vertices.astype(np.float64), mesh.faces, target_count=faces, agg=roughness
    )
    result = TriMesh(points, triangles)
    return result.with_faces(_worth_keeping(result))


def _worth_keeping(mesh: TriMesh) -> np.ndarray:
    """False for faces that use a vertex twice, and for leaves: faces on the same three vertices."""
    ordered = np.sort(mesh.faces, axis=1)
    _, inverse, count = np.unique(ordered, axis=0, return_inverse=True, return_counts=True)
    distinct = (ordered[:, 0] != ordered[:, 1]) & (ordered[:, 1] != ordered[:, 2])
    return distinct & (count[inverse.ravel()] == 1)


def _open_edges(faces: IntArray) -> int:
    _, uses = edge_uses(faces)
    return int((uses != 2).sum())
