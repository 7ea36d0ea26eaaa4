# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from backend.mesh.extraction import extract
from backend.mesh.normals import with_normals
from backend.mesh.tri_mesh import TriMesh


def test_cube_corners_look_along_the_diagonals_however_the_sides_are_cut(shapes):
    # A corner has 90 degrees of each of its three sides, in one or two triangles: angles make it symmetric.
    normals = with_normals(shapes.cube_mesh()).normals
    assert normals == pytest.approx(shapes.cube_mesh().vertices * 2 / 3**0.5, abs=1e-6)


def test_ball_normals_are_radial(shapes):
    mesh = with_normals(extract(shapes.field(shapes.ball, edge=0.03), 1.0, 48))
    radial = mesh.vertices / np.linalg.norm(mesh.vertices, axis=1, keepdims=True)
    assert np.linalg.norm(mesh.normals, axis=1) == pytest.approx(1, abs=1e-5)
    assert (mesh.normals * radial).sum(axis=1).min() > 0.99


def test_split_vertices_share_a_normal_and_stray_ones_get_some(shapes):
    cube = shapes.cube_mesh()
    soup = TriMesh(np.concatenate([cube.corners().reshape(-1, 3), [[9, 9, 9]]]), np.arange(36).reshape(12, 3))
    normals = with_normals(soup).normals
    assert normals[:36] == pytest.approx(with_normals(cube).normals[cube.faces.ravel()], abs=1e-6)
    assert normals[36].tolist() == [0, 0, 1]
