# SPDX-License-Identifier: GPL-3.0-or-later
import random

import pytest
import torch
from torch import Tensor

from backend.cameras import orbit_views, rays
from backend.radiance.backgrounds import LearnedBackground
from backend.radiance.field import RadianceField
from backend.radiance.hash_grid import HashGrid
from backend.radiance.losses import orientation, sparsity
from backend.radiance.occupancy import OccupancyGrid
from backend.radiance.pictures import Pictures
from backend.radiance.rendered import Rendered
from backend.radiance.shading import draw_light


def loss(images: Tensor) -> Tensor:
    """Not a sum over pixels, so that a part alone would get another gradient."""
    return images.mean(dim=(1, 2)).square().sum() + images.std()


def regularisers(rendered: Rendered, directions: Tensor, rays: int, hit: Tensor) -> Tensor:
    total = rendered.opacity.numel() / rays * sparsity(rendered.opacity)
    if rendered.normals is not None:
        towards = directions.index_select(0, rendered.ray)
        total = total + orientation(rendered.weights, rendered.normals, towards, hit)
    return total


def gradients(normals: str, lit: float, chunk: int) -> tuple[Tensor, dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    grid = HashGrid(4, 2, 12, 8, 32, init_scale=1.0, generator=generator)
    field = RadianceField(grid, hidden=16, generator=generator).double()
    background = LearnedBackground(random_probability=0.0, generator=generator).double()
    occupancy = OccupancyGrid(resolution=16)
    views = orbit_views(4, elevation=20, distance=2.4, fov=45)
    origins, directions = (part.double() for part in rays(views.c2w, views.fov, 9, 9))
    light = draw_light(views.c2w, 4, lit, 0.0, random.Random(1), torch.Generator().manual_seed(1))
    if light.position is not None:
        light = type(light)(light.look, light.position.double(), light.diffuse)
    jitter = torch.rand(4 * 81, generator=generator).double()
    behind = background(directions, generator)
    pictures = Pictures(field, occupancy, origins, directions, jitter, 24, light, normals, normal_step=0.02)
    images = pictures.backward(loss, regularisers, behind, chunk)
    parameters = [*field.named_parameters(), *background.named_parameters()]
    return images, {name: parameter.grad for name, parameter in parameters}


@pytest.mark.parametrize(("normals", "lit"), [("none", 0.0), ("analytic", 1.0), ("finite", 1.0)])
@pytest.mark.parametrize("chunk", [50, 100])
def test_parts_give_the_gradients_of_the_whole(normals: str, lit: float, chunk: int) -> None:
    whole, expected = gradients(normals, lit, 0)
    images, found = gradients(normals, lit, chunk)
    assert torch.allclose(images, whole)
    for name, gradient in expected.items():
        assert gradient.abs().max() > 0, name
        assert torch.allclose(found[name], gradient, rtol=1e-7, atol=1e-10), name
