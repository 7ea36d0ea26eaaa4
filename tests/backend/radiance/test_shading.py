# SPDX-License-Identifier: GPL-3.0-or-later
import random

import pytest
import torch

from backend.cameras import orbit_views
from backend.radiance.shading import Light, draw_light

RED = torch.tensor([[0.8, 0.2, 0.1]])
UP = torch.tensor([[0.0, 0.0, 1.0]])
ORIGIN, FIRST = torch.zeros(1, 3), torch.zeros(1, dtype=torch.int64)


def light(look: str, position: tuple[float, float, float] = (0, 0, 2), diffuse: float = 0.75) -> Light:
    return Light(look, torch.tensor([position], dtype=torch.float32), diffuse)


def test_light_from_above_and_from_the_side() -> None:
    assert torch.allclose(light("lit").shade(RED, UP, ORIGIN, FIRST), RED)  # 0.75 x 1 + 0.25
    slanted = light("lit", (3, 0, 4)).shade(RED, UP, ORIGIN, FIRST)  # the cosine is 4 / 5
    assert torch.allclose(slanted, RED * (0.75 * 0.8 + 0.25))
    below = light("lit", (0, 0, -1)).shade(RED, UP, ORIGIN, FIRST)
    assert torch.allclose(below, RED * 0.25)


def test_textureless_forgets_the_colour_and_albedo_the_light() -> None:
    assert torch.allclose(light("textureless", (3, 0, 4)).shade(RED, UP, ORIGIN, FIRST), torch.tensor(0.85))
    assert Light().shade(RED, None, ORIGIN, FIRST) is RED


def test_each_sample_sees_the_light_of_its_view() -> None:
    both = Light("lit", torch.tensor([[0.0, 0, 1], [0, 0, -1]]), 1.0)
    shaded = both.shade(RED.expand(2, 3), UP.expand(2, 3), ORIGIN.expand(2, 3), torch.tensor([1, 0]))
    assert torch.allclose(shaded, torch.stack((torch.zeros(3), RED[0])))


def test_a_light_without_normals_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="normals"):
        light("lit").shade(RED, None, ORIGIN, FIRST)


def test_drawn_lights_have_the_asked_for_frequencies_and_distances() -> None:
    c2w = orbit_views(8, elevation=15, distance=3, fov=40).c2w
    dice, generator = random.Random(0), torch.Generator().manual_seed(0)
    drawn = [draw_light(c2w, 4, 0.75, 0.5, dice, generator) for _ in range(400)]
    looks = [each.look for each in drawn]
    assert looks.count("albedo") / 400 == pytest.approx(0.25, abs=0.07)
    assert looks.count("textureless") / 400 == pytest.approx(0.375, abs=0.08)
    lit = [each for each in drawn if each.position is not None]
    distance = torch.stack([each.position for each in lit]).norm(dim=-1)
    assert 0.8 <= distance.min() < 0.82
    assert 1.48 < distance.max() <= 1.5
    assert 0 <= min(each.diffuse for each in lit) < 0.02
    assert 0.98 < max(each.diffuse for each in lit) <= 1
    # Near its camera, since the camera's distance outweighs the offset.
    cameras = torch.nn.functional.normalize(c2w[:, :3, 3], dim=-1)
    cosine = (torch.stack([each.position for each in lit]) / distance[..., None] * cameras).sum(-1)
    assert cosine.mean() > 0.8


def test_views_of_an_object_share_the_offset() -> None:
    c2w = torch.eye(4).repeat(4, 1, 1)
    c2w[:, 2, 3] = 1  # four times the same camera
    position = draw_light(c2w, 2, 1.0, 0.0, random.Random(0), torch.Generator().manual_seed(0)).position
    assert torch.equal(position[0], position[1])
    assert not torch.equal(position[1], position[2])


def test_textureless_keeps_the_colours_in_the_graph_with_no_gradient() -> None:
    colour = RED.clone().requires_grad_()
    light("textureless").shade(colour, UP, ORIGIN, FIRST).sum().backward()
    assert torch.equal(colour.grad, torch.zeros(1, 3))  # not None: Adam's moments go on fading
