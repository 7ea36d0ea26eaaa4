# SPDX-License-Identifier: GPL-3.0-or-later
import math

import pytest
import torch

from backend.radiance.losses import (
    add_total_variation_gradient,
    opacity_entropy,
    opacity_l2,
    orientation,
    sparsity,
    total_variation,
)


def test_entropy_by_hand() -> None:
    assert opacity_entropy(torch.tensor([0.5])).item() == pytest.approx(math.log(2))
    quarter = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert opacity_entropy(torch.tensor([0.5, 0.25])).item() == pytest.approx((math.log(2) + quarter) / 2)


def test_entropy_pushes_away_from_the_middle_and_is_finite_at_the_ends() -> None:
    opacity = torch.tensor([0.0, 0.4, 0.6, 1.0], requires_grad=True)
    opacity_entropy(opacity).backward()
    gradient = opacity.grad
    assert torch.isfinite(gradient).all()
    assert gradient[1] > 0 > gradient[2]
    assert gradient[0] == gradient[3] == 0


def test_sparsity_and_l2_by_hand() -> None:
    opacity = torch.tensor([0.0, 1.0])
    assert sparsity(opacity, epsilon=0.01).item() == pytest.approx((0.1 + math.sqrt(1.01)) / 2)
    assert opacity_l2(torch.tensor([0.5, 1.0])).item() == pytest.approx(1.25 / 2)


def test_sparsity_has_a_gradient_at_zero_without_a_kink() -> None:
    opacity = torch.zeros(2, requires_grad=True)
    sparsity(opacity).backward()
    assert opacity.grad.tolist() == [0, 0]


def test_orientation_by_hand() -> None:
    weights = torch.tensor([0.5, 0.25, 1.0], requires_grad=True)
    normals = torch.tensor([[0.0, 1, 0], [0, -1, 0], [0.6, 0.8, 0]], requires_grad=True)
    directions = torch.tensor([0.0, 1, 0]).expand(3, 3)
    # The second faces the camera and costs nothing.
    loss = orientation(weights, normals, directions, rays=2)
    assert loss.item() == pytest.approx((0.5 * 1 + 1.0 * 0.64) / 2)
    loss.backward()
    assert weights.grad is None
    assert normals.grad[0, 1] > 0
    assert normals.grad[1].abs().max() == 0


def test_orientation_of_no_samples() -> None:
    empty = torch.zeros(0, 3)
    assert orientation(torch.zeros(0), empty, empty, rays=0) == 0


def test_total_variation_by_hand() -> None:
    grid = torch.zeros(1, 1, 2, 2, 2)
    grid[0, 0, :, :, 1] = 3.0  # a step of 3 along the last axis only
    assert total_variation(grid).item() == pytest.approx(9)
    grid = torch.zeros(1, 1, 2, 2, 2)
    grid[0, 0, 0, 0, 0] = 2.0  # one corner: along each axis one pair in four differs by 2
    assert total_variation(grid).item() == pytest.approx(3)


def test_a_grid_that_no_ray_met_gets_no_gradient() -> None:
    grid = torch.rand(1, 2, 3, 3, 3, requires_grad=True)
    add_total_variation_gradient(grid, 7.0)
    assert grid.grad is None


def test_written_out_gradient_of_the_total_variation_is_the_derivative() -> None:
    grid = torch.randn(1, 2, 3, 4, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    (7.0 * total_variation(grid) + grid.sum()).backward()
    assert grid.grad is not None
    expected = grid.grad.clone()
    grid.grad = torch.ones_like(grid)
    add_total_variation_gradient(grid, 7.0)
    torch.testing.assert_close(grid.grad, expected)
