# SPDX-License-Identifier: GPL-3.0-or-later
from dataclasses import replace

import numpy as np
import pytest
import torch

from backend.mesh.rasterizer import rasterize
from backend.mesh.rendering import render_mesh, sample_texture
from backend.mesh.tri_mesh import TriMesh


def wall(distance: float, size: float = 1.0) -> TriMesh:
    """A square facing the camera at -Y 2, `distance` in front of it: faces lower right and upper left."""
    y = distance - 2
    corners = [(-size, y, -size), (size, y, -size), (size, y, size), (-size, y, size)]
    return TriMesh(np.array(corners), np.array([(0, 1, 2), (0, 2, 3)]))


FRONT = np.array([[[1, 0, 0, 0], [0, 0, -1, -2], [0, 1, 0, 0], [0, 0, 0, 1]]], dtype=float)
"""Camera at (0, -2, 0): its right is +X, its up +Z, its back -Y."""


def test_the_hand_made_camera_is_the_front_view(shapes):
    assert shapes.camera(0, 0, 2) == pytest.approx(FRONT[0])


def test_triangle_by_hand():
    # At distance 1 a 90 degree camera sees exactly -1..1, so the square fills the picture of 4 x 4.
    seen = rasterize(wall(1.0), FRONT, 90.0, 4, 4)
    rows, columns = np.indices((4, 4))
    # Rows grow downward: the diagonal from lower left to upper right separates face 1 from face 0.
    assert (seen.faces[0][rows + columns < 3] == 1).all()
    assert (seen.faces[0][rows + columns > 3] == 0).all()
    assert seen.depth == pytest.approx(np.ones((1, 4, 4)), abs=1e-6)
    # Row 3, column 2: centre at x = 0.25, z = -0.75, so b of (0, 1, 2) = (1 - 5/8, 5/8 - 1/8, 1/8).
    assert seen.barycentrics[0, 3, 2] == pytest.approx((3 / 8, 4 / 8, 1 / 8), abs=1e-6)


def test_barycentrics_are_perspective_correct():
    # A floor from 1 to 3 in front of the camera at height -1: a pixel sees the point its ray meets.
    floor = TriMesh(
        np.array([(-9, -1, -1), (9, -1, -1), (9, 1, -1), (-9, 1, -1)]), np.array([(0, 1, 2), (0, 2, 3)])
    )
    seen = rasterize(floor, FRONT, 90.0, 64, 64)
    hit = seen.faces[0] >= 0
    points = np.einsum(
        "nk,nkd->nd", seen.barycentrics[0][hit], floor.vertices[floor.faces[seen.faces[0][hit]]]
    )
    row, column = np.nonzero(hit)
    down, across = (row + 0.5) / 32 - 1, (column + 0.5) / 32 - 1
    assert points[:, 1] + 2 == pytest.approx(1 / down, abs=1e-4)
    assert points[:, 0] == pytest.approx(across / down, abs=1e-4)
    assert seen.depth[0][hit] == pytest.approx(1 / down, abs=1e-4)
    # The floor ends 3 in front of the camera, a third down the lower half: (row + .5) / 32 - 1 = 1 / 3.
    assert (np.unique(row) == np.arange(43, 64)).all()


def test_the_nearer_face_wins_whatever_the_order(shapes):
    near, far = wall(1.0, 0.4), wall(1.5, 2.0)
    for scene, first in ((shapes.join(near, far), 0), (shapes.join(far, near), 2)):
        seen = rasterize(scene, FRONT, 90.0, 16, 16)
        assert seen.faces[0, 8, 9] in (first, first + 1)
        assert seen.depth[0, 8, 8] == pytest.approx(1.0)
        assert seen.depth[0, 1, 8] == pytest.approx(1.5)


def test_background_and_faces_behind(shapes):
    seen = rasterize(wall(-1.0), FRONT, 60.0, 8, 8)
    assert (seen.faces == -1).all()
    assert np.isinf(seen.depth).all()
    assert (seen.barycentrics == 0).all()


def test_several_cameras_with_their_own_field_of_view(shapes):
    cube = shapes.cube_mesh(0.2, (0.5, 0, 0))
    cameras = torch.tensor(np.stack([shapes.camera(a, 0, 2) for a in (0, 90, 180)]))
    seen = rasterize(cube, cameras, torch.tensor([40.0, 40.0, 20.0]), 64, 32)
    assert seen.faces.shape == (3, 64, 32)
    columns = [np.nonzero(view >= 0)[1] for view in seen.faces]
    assert (
        columns[0].min() > 16
    )  # from the front, +X is on the right: half the width is 16 = 0.36 of the world
    assert columns[1].mean() == pytest.approx(15.5, abs=0.5)  # from +X, it is in the middle
    assert not len(columns[2])  # from behind it is on the left, outside the narrow view
    with pytest.raises(ValueError, match="c2w"):
        rasterize(cube, np.eye(4), 40, 8, 8)


def textured_wall() -> TriMesh:
    """The wall with a texture of four colours: upper row red, green; lower row blue, white."""
    mesh = wall(1.0)
    texture = np.array([[(255, 0, 0), (0, 255, 0)], [(0, 0, 255), (255, 255, 255)]], dtype=np.uint8)
    return replace(mesh, uv=np.array([(0, 0), (1, 0), (1, 1), (0, 1)]), texture=texture)


def test_picture_is_upright_and_not_mirrored():
    image = render_mesh(textured_wall(), FRONT, 90.0, 8, 8)
    assert image.shape == (1, 8, 8, 4)
    assert image[0, 0, 0] == pytest.approx((1, 0, 0, 1))
    assert image[0, 0, 7] == pytest.approx((0, 1, 0, 1))
    assert image[0, 7, 0] == pytest.approx((0, 0, 1, 1))
    assert image[0, 7, 7] == pytest.approx((1, 1, 1, 1))


def test_supersampling_softens_alpha_and_keeps_colours_straight():
    mesh = wall(1.0, size=0.5)  # covers pixels 1.25 to 3.75 of 5 at 90 degrees
    mesh.uv, mesh.texture = np.zeros((4, 2)), np.full((1, 1, 3), 100, dtype=np.uint8)
    image = render_mesh(mesh, FRONT, 90.0, 5, 5, supersample=2)[0]
    assert image[2, 2, 3] == 1
    assert image[2, 0, 3] == 0
    # Samples of column 1 lie at 1.25, on the very edge, and 1.75.
    assert image[2, 1, 3] in (0.5, 1.0)
    assert image[image[..., 3] > 0][:, :3] == pytest.approx(100 / 255)
    assert (image[image[..., 3] == 0] == 0).all()


def test_without_texture_it_is_white(shapes):
    image = render_mesh(shapes.cube_mesh(), FRONT, 60.0, 8, 8)
    assert image[0, 4, 4].tolist() == [1, 1, 1, 1]


def test_silhouette_of_a_ball_has_the_right_size(shapes):
    from backend.mesh.extraction import extract

    ball = extract(shapes.field(shapes.ball, edge=0.03), 1.0, 64, threshold=50.0)
    alpha = render_mesh(ball, FRONT, 40.0, 64, 64, supersample=2)[0, ..., 3]
    # The outline is the cone that touches the ball: sin of its half angle is 0.5 / 2.
    radius = 32 * np.tan(np.arcsin(0.25)) / np.tan(np.radians(20))
    assert alpha.sum() == pytest.approx(np.pi * radius**2, rel=0.01)


def test_sampling_between_texels():
    texture = np.array([[(0, 0, 0), (200, 100, 50)]], dtype=np.uint8)
    found = sample_texture(texture, np.array([(0.5, 0.5), (0.25, 0.9), (0.0, 0.0), (1.0, 1.0)])) * 255
    assert found[0] == pytest.approx((100, 50, 25))
    assert found[1] == pytest.approx((0, 0, 0))
    assert found[2] == pytest.approx((0, 0, 0))
    assert found[3] == pytest.approx((200, 100, 50))
