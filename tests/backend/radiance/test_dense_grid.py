# SPDX-License-Identifier: GPL-3.0-or-later
from collections.abc import Iterator

import pytest
import torch

from backend.radiance import dense_grid_slices
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
    expected = torch.cat((x, 10 * x), 1)
    torch.testing.assert_close(grid(x.clone().requires_grad_()), expected, atol=1e-5, rtol=0)
    # By slices float32 counts 81 rows, not 9.
    torch.testing.assert_close(grid(x), expected, atol=2e-5, rtol=0)


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


@pytest.mark.parametrize("nodes", [2, 5, 64])
def test_reading_by_slices_is_reading_the_volume(nodes: int, threads: int) -> None:
    """Two ways to the same features and the same gradient; which is taken depends on the points."""
    generator = torch.Generator().manual_seed(2)
    grid = DenseGrid((nodes,), init_scale=1.0, generator=generator)
    inner = torch.rand(1200, 3, generator=generator) * 1.2 - 0.1  # some of them outside
    corners = torch.cartesian_prod(*[torch.tensor([0.0, 0.5, 1.0])] * 3)
    x = torch.cat((inner, corners))
    assert len(x) % 2 == 1  # or two parts would need no padding
    before = x.clone()
    upstream = torch.randn(len(x), 4, generator=generator)
    found = []
    for points in (x, x.clone().requires_grad_()):
        features = grid(points)
        found.append((features.detach(), *torch.autograd.grad((features * upstream).sum(), grid.levels[0])))
    assert torch.equal(x, before)
    # As many cells as a place is inexact by, at most, and between neighbours a feature changes by 2 at most.
    atol = 2 * 2 * nodes**2 * torch.finfo(torch.float32).eps
    torch.testing.assert_close(found[0][0], found[1][0], atol=max(atol, 1e-6), rtol=0)
    torch.testing.assert_close(found[0][1], found[1][1], atol=max(20 * atol, 1e-5), rtol=1e-4)


def test_the_way_back_keeps_what_the_memory_plan_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """80 bytes a point by slices: two places of two numbers, and a share, a level. DENSE_BYTES holds them."""
    monkeypatch.setattr("backend.radiance.dense_grid_slices.pays", lambda: True)
    grid, count = DenseGrid(), 4096
    own = {level.data_ptr() for level in grid.levels}
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        features = grid(torch.rand(count, 3))
    assert features.requires_grad
    assert sum(kept.values()) / count == pytest.approx(80, abs=8)


@pytest.mark.parametrize("splits", [1, 2, 3])
def test_the_gradient_by_hand_is_the_gradient(splits: int) -> None:
    generator = torch.Generator().manual_seed(3)
    levels = [
        torch.randn(1, 2, n, n, n, generator=generator, dtype=torch.double, requires_grad=True)
        for n in (2, 3)
    ]
    x = torch.rand(7, 3, generator=generator, dtype=torch.double)
    assert torch.autograd.gradcheck(lambda *given: dense_grid_slices.read(x, given, splits), levels)


def test_a_level_that_is_not_trained_gets_no_gradient() -> None:
    grid = DenseGrid((3, 4))
    grid.levels[1].requires_grad_(False)
    dense_grid_slices.read(torch.rand(9, 3), tuple(grid.levels), 2).sum().backward()
    assert grid.levels[0].grad is not None
    assert grid.levels[1].grad is None
