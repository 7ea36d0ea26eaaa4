# SPDX-License-Identifier: GPL-3.0-or-later
import random
import sys
from types import SimpleNamespace
from typing import Any

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
from backend.radiance.rendering import render
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


def make_field() -> RadianceField:
    generator = torch.Generator().manual_seed(0)
    grid = HashGrid(4, 2, 12, 8, 32, init_scale=1.0, generator=generator)
    return RadianceField(grid, hidden=16, generator=generator).double()


def make_pictures(field: Any, lit: float = 0.0, normals: str = "none") -> Pictures:
    generator = torch.Generator().manual_seed(2)
    occupancy = OccupancyGrid(resolution=16)
    occupancy.mask[:, :5] = False
    views = orbit_views(4, elevation=20, distance=2.4, fov=45)
    origins, directions = (part.double() for part in rays(views.c2w, views.fov, 9, 9))
    light = draw_light(views.c2w, 4, lit, 0.0, random.Random(1), torch.Generator().manual_seed(1))
    if light.position is not None:
        light = type(light)(light.look, light.position.double(), light.diffuse)
    jitter = torch.rand(4 * 81, generator=generator).double()
    return Pictures(field, occupancy, origins, directions, jitter, 24, light, normals, normal_step=0.02)


def gradients(normals: str, lit: float, chunk: int) -> tuple[Tensor, dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    field = make_field()
    background = LearnedBackground(random_probability=0.0, generator=generator).double()
    pictures = make_pictures(field, lit, normals)
    behind = background(pictures.directions, generator)
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


class Kernels:
    """The fused kernels' place, taken by the general renderer; notes which rays are marched."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.marched: list[tuple[int, int]] = []
        marching, rendering = SimpleNamespace(march=self.march), SimpleNamespace(render_marched=self.render)
        # Not imported: they need Triton itself.
        monkeypatch.setitem(sys.modules, "backend.radiance.fused.marching", marching)
        monkeypatch.setitem(sys.modules, "backend.radiance.fused.rendering", rendering)

    def march(self, bound: float, *given: Any) -> Any:
        self.marched.append((len(given[1]), given[-1]))
        return SimpleNamespace(given=given, tensors=given[1:3])

    def render(self, field: Any, found: Any, background: Tensor, normals: bool, shade: Any, *_: Any) -> Any:
        occupancy, origins, directions, samples, jitter, _width = found.given
        kind = "analytic" if normals else "none"
        return render(
            field.plain,
            occupancy,
            origins,
            directions,
            background,
            samples,
            jitter,
            normals=kind,
            shade=shade,
        )


def through_kernels(chunk: int, marched_in: int, lit: float, normals: str) -> tuple[Tensor, list[Tensor]]:
    plain = make_field()
    field: Any = SimpleNamespace(fused=True, bound=plain.bound, plain=plain)
    pictures = make_pictures(field, lit, normals)
    pictures.march(marched_in)
    images = pictures.backward(loss, regularisers, torch.full_like(pictures.directions, 0.3), chunk)
    return images, [parameter.grad for parameter in plain.parameters()]


@pytest.mark.parametrize(
    ("normals", "lit", "chunk", "parts"),
    # Rays of each part, and the pictures' width where the part is whole pictures.
    [
        ("none", 0.0, 0, [(324, 9)]),
        ("none", 0.0, 162, [(162, 9)] * 2),
        ("analytic", 1.0, 100, [(100, 0)] * 3 + [(24, 0)]),
    ],
)
def test_samples_found_before_in_parts_give_the_pictures_of_the_whole(
    normals: str, lit: float, chunk: int, parts: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    kernels = Kernels(monkeypatch)
    images, found = through_kernels(chunk, chunk, lit, normals)
    assert kernels.marched == parts  # and none of them again in `backward`
    plain = make_field()
    pictures = make_pictures(plain, lit, normals)
    whole = pictures.backward(loss, regularisers, torch.full_like(pictures.directions, 0.3))
    assert torch.allclose(images, whole)
    for gradient, parameter in zip(found, plain.parameters(), strict=True):
        assert parameter.grad is not None
        assert parameter.grad.abs().max() > 0
        assert torch.allclose(gradient, parameter.grad, rtol=1e-7, atol=1e-10)


def test_samples_of_other_parts_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    kernels = Kernels(monkeypatch)
    pictures = make_pictures(SimpleNamespace(fused=True, bound=1.0, plain=make_field()))
    pictures.march(100)
    pictures.march(200)
    assert kernels.marched == [(100, 0)] * 3 + [(24, 0), (200, 0), (124, 0)]
    assert len(pictures.tensors) == 3 + 2 * 2  # the first ones are gone
    looked: list[int] = []
    monkeypatch.setattr("backend.radiance.pictures.render", lambda *given, **_: looked.append(len(given[2])))
    background = torch.zeros(324, 3).double()
    pictures.render(slice(0, 100), background)
    assert looked == [100]
    pictures.render(slice(200, 324), background)
    assert looked == [100]
