# SPDX-License-Identifier: GPL-3.0-or-later
"""Projection and hull against cases worked out by hand. Cameras at distance 2 see 90 degrees: at the origin's
depth a picture reaches from -2 to 2."""

import pytest
import torch

from backend.cameras import Views, orbit_views
from backend.start.visual_hull import inside_hull, project


@pytest.fixture
def four() -> Views:
    return orbit_views(4, elevation=0.0, distance=2.0, fov=90.0)


def test_points_land_where_the_cameras_see_them(four: Views) -> None:
    # one to the right of the front camera, one up, one halfway to the front camera at -Y
    points = torch.tensor([(1.0, 0, 0), (0, 0, 1.0), (0, -1.0, 0.5)])
    front, right = project(points, four.c2w, four.fov)[:2]
    torch.testing.assert_close(front, torch.tensor([(0.5, 0), (0, -0.5), (0, -0.5)]))
    # the camera at +X is nearer to the first point, and has -Y on its left
    torch.testing.assert_close(right, torch.tensor([(0, 0), (0, -0.5), (-0.5, -0.25)]), atol=1e-6, rtol=0)


def test_a_point_is_inside_only_where_every_picture_shows_the_object(four: Views) -> None:
    alpha = torch.zeros(4, 8, 8)
    alpha[:, 3:5, 3:5] = 1  # the middle: -0.5 to 0.5 at the origin's depth
    points = torch.tensor([(0.0, 0, 0), (0.3, 0, 0.2), (0.9, 0, 0), (0, 0.9, 0), (0, 0, -0.9)])
    assert inside_hull(points, alpha, four.c2w, four.fov).tolist() == [True, True, False, False, False]
    alpha[2] = 0
    assert not inside_hull(points, alpha, four.c2w, four.fov).any()


def test_what_no_picture_shows_whole_is_outside(four: Views) -> None:
    beyond_the_edge = torch.tensor([(0.0, 0, 3.0)])
    assert not inside_hull(beyond_the_edge, torch.ones(4, 8, 8), four.c2w, four.fov).any()
