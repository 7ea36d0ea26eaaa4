# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from backend.errors import UserError
from backend.mesh.extraction import extract
from backend.mesh.measures import is_closed
from backend.mesh.normals import with_normals
from backend.mesh.simplification import simplify
from backend.mesh.tri_mesh import TriMesh
from backend.mesh.triangle_pixels import triangle_pixels
from backend.mesh.unwrapping import unwrap


@pytest.fixture(scope="module")
def ring(shapes):
    return with_normals(simplify(extract(shapes.field(shapes.torus, edge=0.03), 1.0, 48), 1500))


@pytest.fixture(scope="module")
def unwrapped(ring):
    return unwrap(ring, 512)


def test_shape_winding_and_normals_stay(ring, unwrapped):
    assert unwrapped.corners().tolist() == ring.corners().tolist()
    assert (unwrapped.normals[unwrapped.faces] == ring.normals[ring.faces]).all()
    assert is_closed(unwrapped)


def test_coordinates_are_in_the_unit_square_and_use_it(unwrapped):
    assert unwrapped.uv.min() >= 0
    assert unwrapped.uv.max() <= 1
    first, second = (
        unwrapped.uv[unwrapped.faces[:, k]] - unwrapped.uv[unwrapped.faces[:, 0]] for k in (1, 2)
    )
    area = np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]) / 2
    assert (area > 0).all()
    assert 0.4 < area.sum() <= 1


def test_charts_do_not_overlap(unwrapped):
    size = 1024
    hits = np.zeros((size, size), dtype=int)
    for found in triangle_pixels(unwrapped.uv[unwrapped.faces] * size, size, size):
        inside = found.weights.min(axis=1) > 1e-3  # not on a shared edge
        np.add.at(hits, (found.row[inside], found.column[inside]), 1)
    assert hits.max() == 1


def test_meshes_that_would_hang_are_refused():
    with pytest.raises(UserError, match="0 faces"):
        unwrap(TriMesh(np.zeros((0, 3)), np.zeros((0, 3))))
    with pytest.raises(UserError, match=r"100001 faces.*smaller number"):
        unwrap(TriMesh(np.eye(3), np.tile([0, 1, 2], (100_001, 1))))
