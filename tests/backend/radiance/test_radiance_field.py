# SPDX-License-Identifier: GPL-3.0-or-later
import math

import pytest
import torch

from backend.radiance.dense_grid import DenseGrid
from backend.radiance.field import DensityActivation, RadianceField
from backend.radiance.hash_grid import HashGrid


def make_field(bound: float = 1.0, **activation: float) -> RadianceField:
    generator = torch.Generator().manual_seed(0)
    return RadianceField(
        DenseGrid((4, 8), init_scale=1.0, generator=generator),
        bound,
        hidden=8,
        activation=DensityActivation(**activation),
        generator=generator,
    )


def points(count: int, reach: float) -> torch.Tensor:
    return (torch.rand(count, 3, generator=torch.Generator().manual_seed(1)) * 2 - 1) * reach


def test_density_follows_the_reference(golden) -> None:
    g = golden("volrend")
    density = DensityActivation()(g["density.network_output"], g["density.points"].norm(dim=1, keepdim=True))
    torch.testing.assert_close(density, g["density.sigma"], atol=0, rtol=1e-5)


def test_multiplier_and_sharpness_by_hand() -> None:
    activation = DensityActivation(multiplier=3.0, sharpness=2.0, blob_scale=4.0, blob_radius=0.8)
    value = activation(torch.tensor([0.5, -1.0]), torch.tensor([0.8, 0.4]))
    # Arguments 2 · 0.5 + 0 = 1 and 2 · -1 + 4 · 0.5 = 0.
    expected = [3 * math.log(1 + math.e), 3 * math.log(2)]
    torch.testing.assert_close(value, torch.tensor(expected))


def test_density_and_colour_alone_are_the_same_as_together() -> None:
    field, x = make_field(), points(200, 0.6)
    density, rgb = field(x)
    assert density.shape == (200,)
    assert rgb.shape == (200, 3)
    torch.testing.assert_close(field.density(x), density)
    torch.testing.assert_close(field.colour(x), rgb)
    assert rgb.min() >= 0
    assert rgb.max() <= 1


def test_density_alone_does_not_evaluate_colour() -> None:
    field = make_field()

    def refuse(*_: object) -> None:
        raise AssertionError("colour was evaluated")

    field.colour_net.register_forward_pre_hook(refuse)
    field.density(points(10, 1.0))


def test_nothing_outside_the_bound() -> None:
    field = make_field(bound=0.75, blob_scale=0.0)
    x = points(2000, 1.0)
    outside = x.norm(dim=1) > 0.75
    density = field.density(x)
    assert outside.any()
    assert (density[outside] == 0).all()
    assert (density[~outside] > 0).all()


def test_the_bound_is_mapped_to_the_unit_cube() -> None:
    seen = []

    class Spy(DenseGrid):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x)
            return super().forward(x)

    RadianceField(Spy((2,)), bound=2.0).density(torch.tensor([[-2.0, 0, 2], [1, -1, 0]]))
    assert seen[0].tolist() == [[0, 0.5, 1], [0.75, 0.25, 0.5]]


@pytest.mark.parametrize(
    "encoding", [DenseGrid((4,), init_scale=0), HashGrid(2, log2_size=6, base=4, finest=8)]
)
def test_a_fresh_field_is_a_grey_blob(encoding: torch.nn.Module) -> None:
    x = points(100, 0.5)
    density, rgb = RadianceField(encoding)(x)
    expected = torch.nn.functional.softplus(10 * (1 - x.norm(dim=1) / 0.5))
    torch.testing.assert_close(density, expected, atol=1e-2, rtol=1e-3)
    torch.testing.assert_close(rgb, torch.full_like(rgb, 0.5), atol=1e-3, rtol=0)


def test_gradients_are_finite_at_the_origin_and_reach_everything() -> None:
    field = make_field()
    x = torch.zeros(3, 3, requires_grad=True)
    density, rgb = field(x)
    (density.sum() + rgb.square().sum()).backward()
    assert torch.isfinite(x.grad).all()
    for name, parameter in field.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_same_generator_same_field() -> None:
    for first, second in zip(make_field().parameters(), make_field().parameters(), strict=True):
        assert torch.equal(first, second)
