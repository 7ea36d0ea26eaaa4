# SPDX-License-Identifier: GPL-3.0-or-later
import torch

from backend.cameras import orbit_views
from backend.radiance.backgrounds import FixedBackground
from backend.radiance.images import render_images


def test_an_object_stands_upright_and_the_first_view_shows_its_front(written_field, ball) -> None:
    # Red grows to the right (+X), green to the front (-Y), blue to the top (+Z).
    field = written_field(ball(0.6, 200.0), lambda x: torch.stack((x[:, 0], -x[:, 1], x[:, 2]), 1) / 2 + 0.5)
    views = orbit_views(4, elevation=0, distance=2.5, fov=45)
    images, opacities = render_images(field, None, views.c2w, views.fov, 32, FixedBackground((0, 0, 0)))
    assert images.shape == (4, 32, 32, 3)
    assert opacities.shape == (4, 32, 32)
    front, right, back = images[0], images[1], images[2]
    assert front[16, 22, 0] > 0.6 > 0.4 > front[16, 9, 0]
    assert front[9, 16, 2] > 0.6 > 0.4 > front[22, 16, 2]
    assert front[16, 16, 1] > 0.75
    assert back[16, 16, 1] < 0.25
    assert right[16, 16, 0] > 0.75
    # A ball of 0.6 seen from 2.5: tan of its half angle over tan(22.5°) of half the image.
    radius = (opacities[0, 16] > 0.5).sum() / 2
    assert abs(radius.item() - 16 * 0.2472 / 0.4142) <= 1


def test_chunks_change_nothing(written_field, ball) -> None:
    field = written_field(ball(0.5, 5.0), lambda x: x / 2 + 0.5)
    views = orbit_views(2, elevation=30, distance=2.5, fov=45)
    whole = render_images(field, None, views.c2w, views.fov, 9)
    parts = render_images(field, None, views.c2w, views.fov, 9, chunk=50)
    for first, second in zip(whole, parts, strict=True):
        torch.testing.assert_close(first, second)


def test_images_carry_no_gradients(written_field) -> None:
    strength = torch.tensor(1.0, requires_grad=True)
    field = written_field(lambda x: strength.expand(len(x)))
    images, _ = render_images(field, None, orbit_views(1, 0, 2.5, 45).c2w, 45.0, 4)
    assert not images.requires_grad
