# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest
import torch

from backend.mesh.cleaning import count_components
from backend.mesh.extraction import extract
from backend.mesh.measures import euler_characteristic, face_vectors, is_closed, volume
from backend.mesh.simplification import simplify


@pytest.fixture(scope="module")
def ring(shapes):
    return extract(shapes.field(shapes.torus, edge=0.03), 1.0, 64, threshold=50.0)


@pytest.mark.parametrize("budget", [6000, 1500])
def test_budget_shape_and_topology(shapes, ring, budget):
    small = simplify(ring, budget)
    assert budget * 0.9 < len(small.faces) <= budget
    assert volume(small) == pytest.approx(volume(ring), rel=0.01)
    assert is_closed(small)
    assert euler_characteristic(small) == 0
    assert np.abs(shapes.torus(torch.from_numpy(small.vertices)).numpy()).max() < 0.02


def test_no_face_is_flipped(ring):
    small = simplify(ring, 1500)
    centre = small.corners().mean(axis=1)
    axis = centre * (1, 1, 0) / np.linalg.norm(centre[:, :2], axis=1, keepdims=True) * 0.5
    assert (np.einsum("ij,ij->i", face_vectors(small), centre - axis) > 0).all()


def test_small_mesh_comes_back_as_it_is(shapes):
    cube = shapes.cube_mesh()
    assert simplify(cube, 12) is cube


def test_rough_field_stays_closed_and_within_budget(shapes):
    noise = torch.randn(1, 1, 24, 24, 24, generator=torch.Generator().manual_seed(1))

    def lumpy(p):
        bumps = torch.nn.functional.grid_sample(noise, p.view(1, 1, 1, -1, 3), align_corners=True).flatten()
        return shapes.torus(p) + 0.04 * bumps

    rough = extract(shapes.field(lumpy, edge=0.01), 1.0, 64)
    assert is_closed(rough)
    small = simplify(rough, 3000)
    assert len(small.faces) <= 3000
    assert is_closed(small)
    assert volume(small) == pytest.approx(volume(rough), rel=0.01)
    assert count_components(small) == count_components(rough)
