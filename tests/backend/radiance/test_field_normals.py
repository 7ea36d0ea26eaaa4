# SPDX-License-Identifier: GPL-3.0-or-later
import pytest
import torch

from backend.radiance.dense_grid import DenseGrid
from backend.radiance.field import DensityActivation, RadianceField
from backend.radiance.hash_grid import HashGrid
from backend.radiance.normals import analytic_normals, finite_difference_normals


def points(count: int = 50) -> torch.Tensor:
    x = torch.randn(count, 3, generator=torch.Generator().manual_seed(0))
    return 0.5 * torch.nn.functional.normalize(x, dim=1)


def smooth_field() -> RadianceField:
    generator = torch.Generator().manual_seed(1)
    encoding = HashGrid(2, 2, 8, 3, finest=5, init_scale=0.3, generator=generator)
    return RadianceField(encoding, activation=DensityActivation(blob_scale=3.0), generator=generator)


def test_normals_of_a_ball_point_outwards(written_field) -> None:
    field = written_field(lambda x: torch.exp(-3 * x.square().sum(1)))
    x = points()
    torch.testing.assert_close(analytic_normals(field, x), 2 * x, atol=1e-5, rtol=0)
    torch.testing.assert_close(finite_difference_normals(field, x, 1e-3), 2 * x, atol=3e-3, rtol=0)


def test_a_plane_by_hand(written_field) -> None:
    # The density grows with 3 x - 4 z, so the way out is (-3, 0, 4) / 5.
    field = written_field(lambda x: 10 + 3 * x[:, 0] - 4 * x[:, 2])
    for normals in (
        analytic_normals(field, points(5)),
        finite_difference_normals(field, points(5), 0.05),
    ):
        torch.testing.assert_close(normals, torch.tensor([[-0.6, 0, 0.8]]).expand(5, 3), atol=1e-5, rtol=0)


def test_no_normal_where_nothing_changes(written_field) -> None:
    field = written_field(lambda x: x.new_ones(len(x)) + 0 * x[:, 0])
    assert finite_difference_normals(field, points(3), 0.01).abs().max() < 1e-3
    assert analytic_normals(field, points(3)).abs().max() == 0


def test_both_ways_agree_on_a_network() -> None:
    field = smooth_field()
    cosine = (analytic_normals(field, points()) * finite_difference_normals(field, points(), 1e-3)).sum(1)
    # Points next to a kink of the grid may disagree.
    assert cosine.median() > 0.999


@pytest.mark.parametrize("way", ["analytic", "finite differences"])
def test_a_loss_on_normals_reaches_the_field(way: str) -> None:
    field = smooth_field()
    if way == "analytic":
        normals = analytic_normals(field, points(), create_graph=True)
    else:
        normals = finite_difference_normals(field, points(), 0.01)
    normals[:, 0].sum().backward()
    gradient = field.encoding.table.grad
    assert gradient is not None
    assert gradient.abs().max() > 0


def test_finite_differences_train_a_dense_grid() -> None:
    field = RadianceField(DenseGrid((4, 8), generator=torch.Generator().manual_seed(0)))
    finite_difference_normals(field, points(), 0.02)[:, 0].sum().backward()
    assert field.encoding.levels[1].grad.abs().max() > 0


def test_analytic_normals_work_without_gradients_enabled() -> None:
    with torch.no_grad():
        normals = analytic_normals(smooth_field(), points())
    assert not normals.requires_grad
    torch.testing.assert_close(normals.norm(dim=1), torch.ones(50))


@pytest.mark.parametrize("finest", [16, 64])
def test_the_fields_own_gradient_is_autograds_and_trains_alike(finest: int) -> None:
    generator = torch.Generator().manual_seed(0)
    grid = HashGrid(4, 2, 10, 8, finest, init_scale=1.0, generator=generator)
    field = RadianceField(grid, bound=0.9, hidden=16, generator=generator).double()
    x = (torch.rand(50, 3, generator=generator).double() - 0.5).requires_grad_()
    along = torch.randn(50, 3, generator=generator).double()
    density, colour, gradient = field.with_gradient(x.detach())
    plain_density, plain_colour = field(x)
    (plain,) = torch.autograd.grad(plain_density.sum(), x, create_graph=True)
    assert torch.allclose(density, plain_density)
    assert torch.allclose(colour, plain_colour)
    assert torch.allclose(gradient, plain)
    parameters = [*field.encoding.parameters(), *field.density_net.parameters()]
    found = torch.autograd.grad((gradient * along).sum(), parameters, allow_unused=True)
    expected = torch.autograd.grad((plain * along).sum(), parameters, allow_unused=True)
    for mine, autograds in zip(found, expected, strict=True):
        assert autograds.abs().max() > 0
        assert torch.allclose(mine, autograds)
