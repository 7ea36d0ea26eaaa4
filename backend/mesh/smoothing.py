# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes the steps of the sampling grid out of a surface without shrinking it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.sparse import csr_array, diags_array

from backend.mesh.measures import edge_uses
from backend.mesh.tri_mesh import TriMesh

STRENGTH = 0.5
PASS_BAND = 0.1
"""Waves of the surface below this frequency (eigenvalue of the Laplacian, 0..2) keep their height."""


def smooth(mesh: TriMesh, iterations: int = 10) -> TriMesh:
    """Taubin's lambda/mu smoothing ("A signal processing approach to fair surface design", 1995, section 3).

    Every iteration pulls each vertex towards the mean of its neighbours and then pushes it back a little
    further, mu = 1 / (pass band - 1 / lambda), which leaves long waves, and so the volume, alone. The order
    and the number of vertices stay; normals are dropped.
    """
    edges, _ = edge_uses(mesh.faces)
    count = len(mesh.vertices)
    both = np.concatenate([edges, edges[:, ::-1]])
    adjacency = csr_array((np.ones(len(both)), (both[:, 0], both[:, 1])), shape=(count, count))
    neighbours = np.maximum(np.diff(adjacency.indptr), 1)
    mean = diags_array(1.0 / neighbours) @ adjacency
    back = 1 / (PASS_BAND - 1 / STRENGTH)
    vertices = mesh.vertices.astype(np.float64)
    for _ in range(iterations):
        for step in (STRENGTH, back):
            vertices += step * (mean @ vertices - vertices)
    return replace(mesh, vertices=vertices, normals=None)
