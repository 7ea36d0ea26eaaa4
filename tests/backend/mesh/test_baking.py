# SPDX-License-Identifier: GPL-3.0-or-later
from dataclasses import replace

import numpy as np
import pytest
import torch

from backend.errors import UserError
from backend.mesh.baking import bake, surface_texels, visible_points
from backend.mesh.extraction import extract
from backend.mesh.normals import with_normals
from backend.mesh.rendering import sample_texture
from backend.mesh.simplification import simplify
from backend.mesh.tri_mesh import TriMesh
from backend.mesh.unwrapping import unwrap


def place(p: torch.Tensor) -> torch.Tensor:
    """A colour that says where it was read."""
    return p * 0.5 + 0.5


@pytest.fixture(scope="module")
def ring(shapes):
    mesh = simplify(extract(shapes.field(shapes.torus, edge=0.03), 1.0, 48), 1500)
    return unwrap(with_normals(mesh), 256)


def test_texture_gives_the_colour_at_every_point_of_the_surface(ring):
    baked = bake(ring, place, 256)
    rng = np.random.default_rng(0)
    faces = np.repeat(ring.faces, 4, axis=0)
    weights = rng.dirichlet((1, 1, 1), len(faces)).astype(np.float32)
    points = np.einsum("nk,nkd->nd", weights, ring.vertices[faces])
    uv = np.einsum("nk,nkd->nd", weights, ring.uv[faces])
    error = np.abs(sample_texture(baked.texture, uv) - place(torch.from_numpy(points)).numpy())
    # A texel is about 0.015 of the world wide, so half of it across, plus 8 bits.
    assert error.max() < 0.015
    assert error.mean() < 0.002


def test_corners_on_seams_have_their_colour_too(ring):
    baked = bake(ring, place, 256)
    error = np.abs(sample_texture(baked.texture, ring.uv) - place(torch.from_numpy(ring.vertices)).numpy())
    assert error.max() < 0.015


def test_nothing_is_left_black(ring):
    baked = bake(ring, lambda p: torch.ones_like(p) * torch.tensor([1.0, 0.5, 0.2]), 128)
    assert baked.texture.shape == (128, 128, 3)
    assert baked.texture.reshape(-1, 3).tolist() == [[255, 128, 51]] * 128**2


def square() -> TriMesh:
    """A unit square in the plane z = 0 on the lower left quarter of the texture."""
    vertices = np.array([(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)], dtype=np.float32)
    return TriMesh(vertices, np.array([(0, 1, 2), (0, 2, 3)]), uv=vertices[:, :2] / 2)


def test_rows_run_downward_from_v_1():
    baked = bake(square(), lambda p: torch.stack([p[:, 0], p[:, 1], p[:, 1] * 0], dim=1), 8)
    # The lower left quarter has 4 x 4 texels, with centres at 1/8, 3/8, 5/8, 7/8 of the square.
    assert baked.texture[7, :4, 0].tolist() == [32, 96, 159, 223]
    assert baked.texture[4:, 0, 1].tolist() == [223, 159, 96, 32]
    # Beyond it, the nearest point of the outline and then the nearest texel.
    assert baked.texture[0, 7].tolist() == [255, 255, 0]


def test_rim_belongs_to_the_nearest_outline():
    owner, weights = surface_texels(square(), 8)
    assert (owner[4:, :4] >= 0).all()
    assert (owner[3, :4] == 1).all()  # one texel above: the upper face
    assert (owner[4:, 4] == 0).all()  # one texel to the right: the other one
    assert (owner[:2] == -1).all()
    assert weights[owner >= 0].min() >= 0
    assert weights[owner >= 0].sum(axis=1) == pytest.approx(1, abs=1e-6)


def test_colours_are_clipped_and_arrays_are_welcome():
    baked = bake(square(), lambda p: np.tile([2.0, -1.0, np.nan], (len(p), 1)), 4)
    assert baked.texture[3, 0].tolist() == [255, 0, 0]


def test_colours_can_be_read_elsewhere():
    mesh = square()
    baked = bake(mesh, place, 4, positions=mesh.vertices + np.array([0, 0, 0.5], dtype=np.float32))
    assert baked.texture[..., 2].min() == 191  # (0.5 + 1) / 2


def test_without_layout_it_says_so(ring):
    with pytest.raises(UserError, match="unwrap"):
        bake(replace(ring, uv=None), place, 16)
    with pytest.raises(UserError, match="unwrap"):
        bake(replace(ring, uv=ring.uv * 0), place, 16)


def test_visible_points_lie_where_light_is_absorbed(shapes):
    ball = with_normals(extract(shapes.field(shapes.ball, edge=0.03), 1.0, 48))
    hard = visible_points(ball, lambda p: torch.full((len(p),), 1e6), 0.1, samples=16)
    first_sample = np.linalg.norm(ball.vertices - hard, axis=1)
    assert first_sample == pytest.approx(0.1 / 32, abs=1e-4)
    thin = visible_points(ball, lambda p: torch.full((len(p),), 0.01), 0.1, samples=16)
    assert np.linalg.norm(ball.vertices - thin, axis=1) == pytest.approx(0.05, abs=1e-3)
    assert np.linalg.norm(thin, axis=1).max() < np.linalg.norm(ball.vertices, axis=1).max()
    with pytest.raises(UserError, match="normals"):
        visible_points(replace(ball, normals=None), lambda p: p[:, 0], 0.1)
