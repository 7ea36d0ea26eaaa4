# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernels against plain PyTorch: values, gradients, and the gradients of gradients."""

import copy

import pytest
import torch

from backend.radiance.hash_grid import HashGrid

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.fixture(params=[False, True], ids=["fp32", "half"])
def grids(request: pytest.FixtureRequest) -> tuple[HashGrid, HashGrid]:
    pytest.importorskip("triton")
    plain = HashGrid(init_scale=1.0, generator=torch.Generator().manual_seed(0), kernels="torch").cuda()
    fast = copy.deepcopy(plain)
    fast.kernels = "triton"
    fast.half_reads = request.param
    return plain, fast


@pytest.fixture
def points() -> torch.Tensor:
    inside = torch.rand(5000, 3, generator=torch.Generator().manual_seed(1))
    corners = torch.tensor([[0.0, 0, 0], [1, 1, 1], [0, 1, 0.5]])
    return torch.cat((inside, corners)).cuda()


def near(found: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-5) -> bool:
    return bool((found - expected).norm() <= tolerance * expected.norm())


def test_features_and_their_gradients(grids: tuple[HashGrid, HashGrid], points: torch.Tensor) -> None:
    weights = torch.randn(len(points), 32, device="cuda", generator=torch.Generator("cuda").manual_seed(2))
    results = []
    for grid in grids:
        x = points.clone().requires_grad_()
        features = grid(x)
        results.append((features, *torch.autograd.grad((features * weights).sum(), (x, grid.table))))
    for found, expected in zip(results[1], results[0], strict=True):
        assert expected.norm() > 0
        # Positions are rounded in the order of their operations: 4096 cells see the last bit of a float.
        assert near(found, expected, 1e-3)


def test_pull_back_and_its_gradients(grids: tuple[HashGrid, HashGrid], points: torch.Tensor) -> None:
    generator = torch.Generator("cuda").manual_seed(2)
    weights = torch.randn(len(points), 32, device="cuda", generator=generator)
    along = torch.randn(len(points), 3, device="cuda", generator=generator)
    results = []
    for grid in grids:
        g = weights.clone().requires_grad_()
        pulled = grid.pull_back(points, g)
        results.append((pulled, *torch.autograd.grad((pulled * along).sum(), (g, grid.table))))
    for found, expected in zip(results[1], results[0], strict=True):
        assert near(found, expected, 1e-3)


def test_no_points_are_no_problem(grids: tuple[HashGrid, HashGrid]) -> None:
    assert grids[1](torch.zeros(0, 3, device="cuda")).shape == (0, 32)
