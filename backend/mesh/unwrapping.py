# SPDX-License-Identifier: GPL-3.0-or-later
"""Cuts a mesh into charts and lays them out in the unit square."""

from __future__ import annotations

import numpy as np
import xatlas

from backend.errors import UserError
from backend.mesh.tri_mesh import TriMesh

MOST_FACES = 100_000
"""Above this the charts take minutes to hours; a mesh has to be simplified first."""


def unwrap(mesh: TriMesh, size: int = 1024, padding: int = 4) -> TriMesh:
    """The mesh with UVs: charts that don't overlap, about `padding` texels apart in a texture of `size`².

    Vertices on seams are split; positions, face order, winding and normals stay. Raises UserError for a mesh
    with no faces or with more than MOST_FACES.
    """
    if not 0 < len(mesh.faces) <= MOST_FACES:
        raise UserError(
            f"A mesh of {len(mesh.faces)} faces can't be unwrapped: it takes 1 to {MOST_FACES} faces. "
            "Choose a smaller number of faces."
        )
    atlas = xatlas.Atlas()
    atlas.add_mesh(mesh.vertices, mesh.faces.astype(np.uint32))
    atlas.generate(_chart_options(), _pack_options(size, padding))
    source, faces, uv = atlas[0]
    return TriMesh(
        mesh.vertices[source],
        faces,
        uv=np.clip(uv, 0.0, 1.0),
        normals=None if mesh.normals is None else mesh.normals[source],
    )


def _chart_options() -> xatlas.ChartOptions:
    options = xatlas.ChartOptions()
    options.max_iterations = 1
    return options


def _pack_options(size: int, padding: int) -> xatlas.PackOptions:
    options = xatlas.PackOptions()
    options.resolution = size
    options.padding = padding
    options.bilinear = True
    return options
