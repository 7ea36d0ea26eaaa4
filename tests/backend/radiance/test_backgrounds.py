# SPDX-License-Identifier: GPL-3.0-or-later
import pytest
import torch

from backend.radiance.backgrounds import (
    FixedBackground,
    LearnedBackground,
    RandomBackground,
    random_colours,
)


@pytest.fixture
def directions() -> torch.Tensor:
    values = torch.randn(4, 6, 5, 3, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.normalize(values, dim=-1)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_fixed(directions: torch.Tensor) -> None:
    colours = FixedBackground((0.1, 0.2, 0.3))(directions)
    assert colours.shape == directions.shape
    torch.testing.assert_close(colours[2, 3, 4], torch.tensor([0.1, 0.2, 0.3]))


def test_random_is_flat_in_a_view_different_between_views_and_seeded(directions: torch.Tensor) -> None:
    background = RandomBackground()
    colours = background(directions, seeded())
    assert torch.equal(colours, colours[:, :1, :1].expand_as(colours))
    assert colours[:, 0, 0].unique(dim=0).shape[0] == 4
    assert torch.equal(colours, background(directions, seeded()))
    assert not torch.equal(colours, background(directions, seeded(1)))


def test_random_becomes_fixed_in_eval_mode(directions: torch.Tensor) -> None:
    colours = RandomBackground(colour=(0.0, 0.5, 1.0)).eval()(directions, seeded())
    torch.testing.assert_close(colours[0, 0, 0], torch.tensor([0.0, 0.5, 1.0]))


def test_views_of_an_object_can_share_a_colour() -> None:
    colours = random_colours(10, seeded(), views_per_colour=4)
    assert colours.shape == (10, 3)
    assert torch.equal(colours[:4], colours[:1].expand(4, 3))
    assert torch.equal(colours[8], colours[9])
    assert not torch.equal(colours[0], colours[4])


def test_learned_depends_on_the_direction_and_learns(directions: torch.Tensor) -> None:
    background = LearnedBackground(random_probability=0.0, generator=seeded())
    colours = background(directions, seeded())
    assert colours.min() >= 0
    assert colours.max() <= 1
    assert colours.view(-1, 3).unique(dim=0).shape[0] > 100
    colours.sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in background.parameters())


def test_learned_is_replaced_as_often_as_asked(directions: torch.Tensor) -> None:
    background, generator = LearnedBackground(random_probability=0.3), seeded()
    learned = background.eval()(directions)
    background.train()
    replaced = sum(not torch.equal(background(directions, generator), learned) for _ in range(400))
    # Binomial: 120 expected, standard deviation 9.2.
    assert 85 < replaced < 155


def test_replacement_is_flat_and_leaves_the_network_alone(directions: torch.Tensor) -> None:
    background = LearnedBackground(random_probability=1.0)
    colours = background(directions, seeded())
    assert torch.equal(colours, colours[:1, :1, :1].expand_as(colours))
    colours.sum().backward()
    assert all(parameter.grad.abs().max() == 0 for parameter in background.parameters())
