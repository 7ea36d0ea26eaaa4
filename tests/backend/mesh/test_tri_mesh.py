# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from backend.mesh.measures import (
    edge_uses,
    euler_characteristic,
    face_areas,
    face_components,
    is_closed,
    volume,
    weld,
)
from backend.mesh.tri_mesh import TriMesh


def test_cube_is_measured_by_hand(shapes):
    cube = shapes.cube_mesh(half=0.5, centre=(3, 2, 1))
    assert volume(cube) == pytest.approx(1, abs=1e-5)
    assert face_areas(cube) == pytest.approx(np.full(12, 0.5), abs=1e-6)
    assert euler_characteristic(cube) == 2
    assert is_closed(cube)
    edges, uses = edge_uses(cube.faces)
    assert len(edges) == 18
    assert (uses == 2).all()


def test_inverted_and_opened_cubes_show(shapes):
    cube = shapes.cube_mesh()
    assert volume(TriMesh(cube.vertices, cube.faces[:, ::-1])) == pytest.approx(-1, abs=1e-6)
    assert not is_closed(TriMesh(cube.vertices, cube.faces[1:]))


def test_vertices_at_one_place_are_welded():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [-0.0, 0, 0], [1, 0, 1e-6]], dtype=np.float32)
    first, position = weld(vertices)
    assert len(first) == 3
    assert position[0] == position[2]
    assert len({position[0], position[1], position[3]}) == 3


def test_split_seams_do_not_split_a_piece(shapes):
    cube = shapes.cube_mesh()
    soup = TriMesh(cube.corners().reshape(-1, 3), np.arange(36).reshape(12, 3))
    assert face_components(soup)[0] == 1
    assert is_closed(soup)
    assert euler_characteristic(soup) == 2


def test_with_faces_drops_unused_vertices_and_keeps_their_data(shapes):
    cube = shapes.cube_mesh()
    cube.uv = np.arange(16, dtype=np.float32).reshape(8, 2)
    keep = np.zeros(12, dtype=bool)
    keep[4] = True  # the front, vertices 0, 4 and 5
    part = cube.with_faces(keep)
    assert part.vertices.tolist() == cube.vertices[[0, 4, 5]].tolist()
    assert part.uv.tolist() == [[0, 1], [8, 9], [10, 11]]
    assert part.corners()[0].tolist() == cube.corners()[4].tolist()


@pytest.mark.parametrize(
    "change",
    [
        {"vertices": np.zeros((3, 2))},
        {"faces": np.array([[0, 1, 3]])},
        {"faces": np.array([[0, 1, -1]])},
        {"uv": np.zeros((4, 2))},
        {"normals": np.zeros((3, 2))},
        {"texture": np.zeros((4, 4, 3))},
        {"texture": np.zeros((4, 4, 4), dtype=np.uint8)},
    ],
)
def test_what_does_not_fit_together_is_refused(change):
    whole = {"vertices": np.zeros((3, 3)), "faces": np.array([[0, 1, 2]])}
    TriMesh(**whole)
    with pytest.raises(ValueError):
        TriMesh(**(whole | change))
