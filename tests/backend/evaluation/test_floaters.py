# SPDX-License-Identifier: GPL-3.0-or-later
"""Pieces that hang in the air."""

from dataclasses import replace

import numpy as np
import pytest

from backend.evaluation.floaters import count_floaters
from backend.mesh import TriMesh, rasterize


def joined(*meshes):
    offsets = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes[:-1])])
    vertices = np.concatenate([mesh.vertices for mesh in meshes])
    return TriMesh(vertices, np.concatenate([m.faces + o for m, o in zip(meshes, offsets, strict=True)]))


@pytest.fixture
def body(cube):
    return cube((0, 0, 0), 0.6)


@pytest.fixture
def truth(two_halves, body):
    """A reference whose silhouettes are those of the cube."""
    seen = rasterize(body, two_halves.c2w, 35.0, 64, 64).faces >= 0
    images = np.zeros((8, 64, 64, 4), np.float32)
    images[seen] = 1
    return replace(two_halves, images=images, part_maps=seen.astype(np.uint8))


def test_one_piece_is_none(body, truth):
    assert count_floaters(body, truth, 1.0) == 0


def test_crumb_beside_it(body, cube, truth):
    assert count_floaters(joined(body, cube((0, 0, 0.6), 0.05)), truth, 1.0) == 1


def test_two_crumbs(body, cube, truth):
    assert count_floaters(joined(body, cube((0, 0, 0.6), 0.05), cube((0.6, 0, 0), 0.05)), truth, 1.0) == 2


def test_large_piece_away_from_the_truth(body, cube, truth):
    assert count_floaters(joined(body, cube((0, 0, 0.65), 0.3)), truth, 1.0) == 1


def test_piece_that_touches_is_none(body, cube, truth):
    assert count_floaters(joined(body, cube((0, 0, 0.32), 0.05)), truth, 1.0) == 0


def test_hidden_piece_is_none(body, cube, truth):
    assert count_floaters(joined(body, cube((0, 0, 0), 0.05)), truth, 1.0) == 0


def test_second_object_of_a_pair_is_none(body, cube, truth):
    pair = joined(body, cube((0, 0, 0.65), 0.3))
    assert count_floaters(pair, replace(truth, kinds=("box", "box")), 1.0) == 0


def test_seams_do_not_make_pieces(body, truth):
    split = TriMesh(body.corners().reshape(-1, 3), np.arange(36).reshape(-1, 3))
    assert count_floaters(split, truth, 1.0) == 0
