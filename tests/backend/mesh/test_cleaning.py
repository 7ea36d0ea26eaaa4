# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np

from backend.mesh.cleaning import count_components, remove_floaters
from backend.mesh.measures import volume
from backend.mesh.tri_mesh import TriMesh


def test_crumbs_go_and_both_objects_of_a_pair_stay(shapes):
    # Area relative to the largest: 1, 0.25, 0.01.
    scene = shapes.join(
        shapes.cube_mesh(0.4, (-0.5, 0, 0)),
        shapes.cube_mesh(0.2, (0.5, 0, 0)),
        shapes.cube_mesh(0.04, (0, 0, 0.8)),
    )
    assert count_components(scene) == 3
    cleaned = remove_floaters(scene)
    assert count_components(cleaned) == 2
    assert len(cleaned.vertices) == 16
    assert np.allclose(volume(cleaned), 0.8**3 + 0.4**3, atol=1e-5)


def test_fraction_decides(shapes):
    scene = shapes.join(shapes.cube_mesh(0.4), shapes.cube_mesh(0.2, (1, 0, 0)))
    assert count_components(remove_floaters(scene, 0.24)) == 2
    assert count_components(remove_floaters(scene, 0.26)) == 1


def test_inner_walls_go(shapes):
    hole = shapes.cube_mesh(0.3)
    hollow = shapes.join(shapes.cube_mesh(0.5), TriMesh(hole.vertices, hole.faces[:, ::-1]))
    assert remove_floaters(hollow).vertices.tolist() == shapes.cube_mesh(0.5).vertices.tolist()


def test_clean_inverted_and_empty_meshes_survive(shapes):
    cube = shapes.cube_mesh()
    assert len(remove_floaters(cube).faces) == 12
    assert len(remove_floaters(TriMesh(cube.vertices, cube.faces[:, ::-1])).faces) == 12
    empty = TriMesh(np.zeros((0, 3)), np.zeros((0, 3)))
    assert count_components(empty) == 0
    assert len(remove_floaters(empty).faces) == 0
