# SPDX-License-Identifier: GPL-3.0-or-later
from collections.abc import Iterator

import pytest
import torch

from backend.radiance.dense_grid import DenseGrid


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """The grid cuts its work by the number of threads: the answer must not depend on it."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def coordinates(nodes: int) -> torch.Tensor:
    """(1,3,D,D,D) where each node holds its own x, y, z in 0..1."""
    axis = torch.linspace(0, 1, nodes)
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    return torch.stack((x, y, z))[None]


def test_a_linear_function_is_read_back_exactly(threads: int) -> None:
    grid = DenseGrid((5, 9), features=3)
    with torch.no_grad():
        grid.levels[0].copy_(coordinates(5))
        grid.levels[1].copy_(10 * coordinates(9))
    # An odd count, large enough to be cut into parts.
    x = torch.rand(2001, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(grid(x), torch.cat((x, 10 * x), 1), atol=1e-5, rtol=0)


def test_trilinear_by_hand() -> None:
    grid = DenseGrid((2,), features=1)
    with torch.no_grad():
        grid.levels[0].zero_()
        grid.levels[0][0, 0, 1, 0, 1] = 8.0  # z = 1, y = 0, x = 1
    value = grid(torch.tensor([[0.5, 0.25, 0.75], [1.0, 0.0, 1.0], [1.5, -1.0, 2.0]]))
    # 8 · 0.5 · (1 - 0.25) · 0.75, then the node itself, then a point outside that is clamped to it.
    torch.testing.assert_close(value, torch.tensor([[2.25], [8.0], [8.0]]))


def test_gradients_do_not_depend_on_the_cut(threads: int) -> None:
    generator = torch.Generator().manual_seed(1)
    grid = DenseGrid((4, 6), features=2, generator=generator)
    x = torch.rand(1501, 3, generator=generator, requires_grad=True)
    upstream = torch.randn(1501, 4, generator=generator)
    (grid(x) * upstream).sum().backward()
    whole = [level.grad.clone() for level in grid.levels], x.grad.clone()
    grid.zero_grad()
    x.grad = None
    for part in (slice(0, 700), slice(700, 1501)):  # each too small to be cut
        (grid(x[part]) * upstream[part]).sum().backward()
    for level, expected in zip(grid.levels, whole[0], strict=True):
        torch.testing.assert_close(level.grad, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(x.grad, whole[1], atol=1e-5, rtol=1e-4)


def test_no_points() -> None:
    assert DenseGrid((2, 3), features=4)(torch.zeros(0, 3)).shape == (0, 8)


def test_same_generator_same_start() -> None:
    first, second = (
        DenseGrid((4,), generator=torch.Generator().manual_seed(5), init_scale=0.5) for _ in range(2)
    )
    assert torch.equal(first.levels[0], second.levels[0])
    assert 0.3 < first.levels[0].abs().max() <= 0.5


def test_impossible_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="2 nodes"):
        DenseGrid((1,))
