# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers that say what a mesh is like: area, volume, topology."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from backend.mesh.tri_mesh import FloatArray, IntArray, TriMesh


def face_vectors(mesh: TriMesh) -> NDArray[np.float64]:
    """Cross product of two edges of every face, (F, 3): along the normal, twice the area long."""
    a, b, c = np.moveaxis(mesh.corners().astype(np.float64), 1, 0)
    return np.cross(b - a, c - a)


def face_areas(mesh: TriMesh) -> NDArray[np.float64]:
    """Area of every face, (F,)."""
    return 0.5 * np.linalg.norm(face_vectors(mesh), axis=1)


def face_volumes(mesh: TriMesh) -> NDArray[np.float64]:
    """Signed volumes (F,) of the tetrahedra between faces and the origin; their sum is the mesh's volume."""
    return np.einsum("ij,ij->i", mesh.corners()[:, 0].astype(np.float64), face_vectors(mesh)) / 6


def volume(mesh: TriMesh) -> float:
    """Enclosed volume of a closed mesh; positive when its faces look outward."""
    return float(face_volumes(mesh).sum())


def weld(vertices: FloatArray) -> tuple[IntArray, IntArray]:
    """Vertices by place: `first` (U,) one vertex a place, `position` (V,) the place of each vertex."""
    flat = np.ascontiguousarray(vertices + 0.0)  # -0.0 and 0.0 are one place
    keys = flat.view(np.dtype((np.void, flat.dtype.itemsize * flat.shape[1]))).ravel()
    _, first, position = np.unique(keys, return_index=True, return_inverse=True)
    return first, position.ravel()


def edge_uses(faces: IntArray) -> tuple[IntArray, IntArray]:
    """Undirected edges (E, 2) and how many faces use each (E,); 2 everywhere on a closed manifold."""
    pairs = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    edges, uses = np.unique(pairs, axis=0, return_counts=True)
    return edges, uses


def is_closed(mesh: TriMesh) -> bool:
    """True when every edge, seams welded, joins exactly two faces."""
    _, position = weld(mesh.vertices)
    _, uses = edge_uses(position[mesh.faces])
    return bool(len(uses) and (uses == 2).all())


def euler_characteristic(mesh: TriMesh) -> int:
    """V - E + F, seams welded: 2 for a ball, 0 for a torus, summed over the components."""
    _, position = weld(mesh.vertices)
    faces = position[mesh.faces]
    edges, _ = edge_uses(faces)
    return len(np.unique(faces)) - len(edges) + len(faces)


def face_components(mesh: TriMesh) -> tuple[int, NDArray[Any]]:
    """Number of connected pieces, seams welded, and the piece (F,) each face belongs to."""
    if not len(mesh.faces):
        return 0, np.zeros(0, dtype=np.int32)
    first, position = weld(mesh.vertices)
    faces = position[mesh.faces]
    rows, columns = faces[:, [0, 1]].ravel(), faces[:, [1, 2]].ravel()
    graph = coo_array((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(len(first), len(first)))
    _, labels = connected_components(graph, directed=False)
    pieces, of_face = np.unique(labels[faces[:, 0]], return_inverse=True)
    return len(pieces), of_face.ravel()
