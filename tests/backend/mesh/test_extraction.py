# SPDX-License-Identifier: GPL-3.0-or-later
import math

import numpy as np
import pytest
import torch

from backend.errors import UserError
from backend.mesh.cleaning import count_components
from backend.mesh.extraction import extract, sample_grid
from backend.mesh.measures import euler_characteristic, face_areas, is_closed, volume

STEP = 2 / 63  # of a grid with 64 samples over [-1, 1]


def depths(mesh, depth) -> np.ndarray:
    return depth(torch.from_numpy(mesh.vertices)).numpy()


def test_ball_at_a_given_level_lies_on_the_sphere(shapes):
    # A soft edge: log density is nearly straight, so vertices land far inside a grid step.
    mesh = extract(shapes.field(shapes.ball, edge=0.03), 1.0, 64, threshold=50.0, smoothing=0)
    assert np.abs(depths(mesh, shapes.ball)).max() < 0.1 * STEP
    assert volume(mesh) == pytest.approx(4 / 3 * math.pi * 0.5**3, rel=0.01)
    assert face_areas(mesh).sum() == pytest.approx(4 * math.pi * 0.5**2, rel=0.01)
    assert euler_characteristic(mesh) == 2
    assert is_closed(mesh)


def test_torus_keeps_its_hole_and_cube_its_size(shapes):
    ring = extract(shapes.field(shapes.torus), 1.0, 64)
    assert euler_characteristic(ring) == 0
    assert is_closed(ring)
    assert volume(ring) == pytest.approx(2 * math.pi**2 * 0.5 * 0.2**2, rel=0.15)
    cube = extract(shapes.field(shapes.box), 1.0, 64)
    assert euler_characteristic(cube) == 2
    assert volume(cube) == pytest.approx(0.8**3, rel=0.1)


@pytest.mark.parametrize("peak", [5.0, 40.0, 1000.0, 100_000.0])
@pytest.mark.parametrize("edge", [1e-6, 0.005, 0.02])
def test_the_level_is_found_for_every_scale_and_softness(shapes, peak, edge):
    mesh = extract(shapes.field(shapes.ball, peak, edge), 1.0, 48)
    off = depths(mesh, shapes.ball)
    # What a soft edge makes look solid grows with the logarithm of the peak; a sharp one stays within a step.
    allowed = 2 / 47 + edge * max(0.0, math.log(peak))
    assert np.abs(off).max() < allowed
    assert count_components(mesh) == 1


def test_outward_faces(shapes):
    mesh = extract(shapes.field(shapes.torus), 1.0, 48)
    assert volume(mesh) > 0
    a, b, c = np.moveaxis(mesh.corners(), 1, 0)
    centre = (a + b + c) / 3
    ring = centre * (1, 1, 0) / np.linalg.norm(centre[:, :2], axis=1, keepdims=True) * 0.5
    outward = np.einsum("ij,ij->i", np.cross(b - a, c - a), centre - ring)
    assert (outward > 0).mean() > 0.999


def test_axes_are_not_mixed_up(shapes):
    mesh = extract(shapes.field(lambda p: shapes.ball(p, 0.2, (0.1, 0.2, 0.4))), 1.0, 64)
    assert (mesh.vertices.min(axis=0) + mesh.vertices.max(axis=0)) / 2 == pytest.approx(
        (0.1, 0.2, 0.4), abs=0.02
    )


def test_object_that_reaches_out_of_the_sphere_is_closed_at_it(shapes):
    mesh = extract(shapes.field(lambda p: 0.3 - p[:, :2].norm(dim=-1)), 1.0, 48)  # an endless pillar
    assert is_closed(mesh)
    assert np.linalg.norm(mesh.vertices, axis=1).max() < 1 + 0.5 * 2 / 47
    assert mesh.vertices[:, 2].max() > 0.9


def test_hidden_cavity_is_filled_and_an_open_bowl_is_not(shapes):
    def shell(p):
        return torch.minimum(shapes.ball(p), -shapes.ball(p, 0.3))

    closed = extract(shapes.field(shell), 1.0, 64)
    assert count_components(closed) == 1
    assert volume(closed) == pytest.approx(4 / 3 * math.pi * 0.5**3, rel=0.1)
    bowl = extract(shapes.field(lambda p: torch.minimum(shell(p), -p[:, 2])), 1.0, 64, threshold=50.0)
    assert volume(bowl) == pytest.approx(2 / 3 * math.pi * (0.5**3 - 0.3**3), rel=0.1)


def test_fog_around_a_solid_object_is_ignored(shapes):
    solid = shapes.field(shapes.ball)
    mesh = extract(lambda p: solid(p) + 0.05, 1.0, 48)
    assert np.abs(depths(mesh, shapes.ball)).max() < 2 / 47 + 0.02


def test_only_the_sphere_is_evaluated_and_values_outside_do_not_matter(shapes):
    seen = []

    def field(p):
        seen.append(p)
        return shapes.field(shapes.ball)(p).numpy()  # arrays are welcome too

    density, spacing = sample_grid(field, 0.8, 32)
    assert spacing == pytest.approx(1.6 / 31)
    assert torch.cat(seen).norm(dim=-1).max() < 0.8
    assert density[0, 0, 0] == 0
    assert density[16, 16, 16] == pytest.approx(100)


@pytest.mark.parametrize("value", [0.0, -3.0, 1e-3])
def test_empty_field_says_so(value):
    with pytest.raises(UserError, match="empty"):
        extract(lambda p: torch.full((len(p),), value), 1.0, 24)


def test_level_above_everything_names_the_largest_density(shapes):
    with pytest.raises(UserError, match=r"25.*largest density is 20"):
        extract(shapes.field(shapes.ball, peak=20.0), 1.0, 24, threshold=25.0)


def test_field_that_is_not_a_number_says_so():
    with pytest.raises(UserError, match="not numbers"):
        extract(lambda p: torch.full((len(p),), math.nan), 1.0, 24)
