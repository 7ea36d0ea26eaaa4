# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects cut out of flat backgrounds: tiny pictures whose colours are mixed by hand."""

import torch

from backend.start.foreground import border_colours, cut_out

GREEN, RED = torch.tensor((0.0, 1.0, 0.0)), torch.tensor((1.0, 0.0, 0.0))


def picture() -> torch.Tensor:
    """(2, 5, 5, 3): a red pixel on green, and on blue, with a wrong pixel at one border."""
    images = GREEN.expand(2, 5, 5, 3).clone()
    images[1] = torch.tensor((0.0, 0.0, 1.0))
    images[:, 2, 2] = RED
    images[0, 0, 3] = RED
    return images


def test_the_background_is_the_borders_median_of_each_picture() -> None:
    assert torch.equal(border_colours(picture()), torch.tensor([(0.0, 1.0, 0.0), (0.0, 0.0, 1.0)]))


def test_object_and_background_are_told_apart() -> None:
    colours, alpha = cut_out(picture())
    assert alpha[0, 2, 2] == alpha[1, 2, 2] == 1
    assert alpha[0, 1, 1] == alpha[1, 0, 0] == 0
    assert torch.equal(colours[0, 2, 2], RED)


def test_a_ripple_is_background_and_a_mixed_edge_gets_the_objects_colour() -> None:
    images = picture()[:1]
    images[0, 1, 1] = GREEN + 0.05
    # distance 0.24 from the background, halfway between CLEAR and SOLID: alpha 1/2
    images[0, 3, 3] = GREEN + 0.24 / 2**0.5 * torch.tensor((1.0, -1.0, 0.0))
    colours, alpha = cut_out(images)
    assert alpha[0, 1, 1] == 0
    torch.testing.assert_close(alpha[0, 3, 3], torch.tensor(0.5))
    expected = torch.tensor((2 * 0.24 / 2**0.5, 1 - 2 * 0.24 / 2**0.5, 0.0))
    torch.testing.assert_close(colours[0, 3, 3], expected)
    mixed = colours * alpha[..., None] + (1 - alpha[..., None]) * GREEN
    torch.testing.assert_close(mixed[0, 3, 3], images[0, 3, 3])
