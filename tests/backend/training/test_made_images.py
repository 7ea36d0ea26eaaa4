# SPDX-License-Identifier: GPL-3.0-or-later
from collections.abc import Callable

import torch
from training_toys import SIZE

from backend.diffusion import MultiViewDiffusion
from backend.training.made_images import as_distillation_shows, sampled_images, soft_shapes


def test_what_a_model_draws_depends_on_the_seed_alone(make_model: Callable[[], MultiViewDiffusion]) -> None:
    model = make_model().freeze()
    images = sampled_images(model, 2, seed=1)
    assert (tuple(images.shape), images.dtype) == ((8, SIZE, SIZE, 3), torch.uint8)
    torch.rand(3)
    assert torch.equal(sampled_images(model, 2, seed=1), images)
    assert not torch.equal(images[:4], images[4:])
    assert not torch.equal(sampled_images(model, 2, seed=2), images)


def test_variations_stay_pictures_and_differ() -> None:
    # Each image has a colour and a brighter left half of its own.
    images = torch.zeros(64, SIZE, SIZE, 3, dtype=torch.uint8)
    images[..., 0] = 100
    images[:, :, : SIZE // 2, 0] = 200
    generator = torch.Generator().manual_seed(0)
    shown = as_distillation_shows(images, generator)
    assert shown.shape == images.shape
    assert 0 <= shown.min() <= shown.max() <= 1
    as_it_is = (shown - images / 255).abs().amax((1, 2, 3)) < 1e-6
    assert 0 < as_it_is.sum() < 32  # some stay, most do not
    assert (shown[..., 1:].amax((1, 2, 3)) > 0.5).any()  # other colours
    mirrored = (shown - images.flip(2) / 255).abs().amax((1, 2, 3)) < 1e-6
    assert mirrored.any()
    # Of half the size: neighbours in pairs can't differ as sharply as in the picture.
    edge = (shown[:, 2, SIZE // 2 - 1, 0] - shown[:, 2, SIZE // 2, 0]).abs()
    assert ((edge > 0) & (edge < 0.3) & (shown[..., 1:].amax((1, 2, 3)) == 0)).any()


def test_soft_shapes_fade_into_a_plain_colour() -> None:
    shapes = soft_shapes(32, 64, "cpu", torch.Generator().manual_seed(0))
    assert shapes.shape == (32, 3, 64, 64)
    assert 0 <= shapes.min() <= shapes.max() <= 1
    corners = torch.stack([shapes[..., y, x] for y in (0, -1) for x in (0, -1)])
    spread = corners.std(0).amax(1)
    assert (spread < 0.02).float().mean() > 0.5  # most backgrounds are plain at the corners
    inside = (shapes[..., 32, 32] - corners.mean(0)).abs().amax(1)
    assert inside.median() > 0.1
