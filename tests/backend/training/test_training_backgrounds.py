# SPDX-License-Identifier: GPL-3.0-or-later
import torch

from backend.training.backgrounds import composite, random_colours


def test_composite_weighs_by_alpha() -> None:
    rgba = torch.tensor([[[[255, 0, 51, 255], [255, 0, 51, 0], [255, 0, 51, 51]]]], dtype=torch.uint8)
    result = composite(rgba, torch.tensor([[0.0, 1.0, 0.5]]))
    expected = [[1.0, 0.0, 0.2], [0.0, 1.0, 0.5], [0.2, 0.8, 0.2 * 0.2 + 0.8 * 0.5]]
    torch.testing.assert_close(result, torch.tensor([[expected]]))


def test_half_of_the_colours_are_grey_and_an_eighth_each_black_and_white() -> None:
    colours = random_colours(8000, "cpu", torch.Generator().manual_seed(0))
    assert colours.min() >= 0
    assert colours.max() <= 1
    grey = (colours == colours[:, :1]).all(1)
    assert abs(grey.float().mean() - 0.5) < 0.03
    assert abs((colours.sum(1) == 0).float().mean() - 0.125) < 0.02
    assert abs((colours.sum(1) == 3).float().mean() - 0.125) < 0.02
