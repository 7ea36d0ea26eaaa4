# SPDX-License-Identifier: GPL-3.0-or-later
"""Sums that a map carries."""

import torch

from backend.diffusion.fast.sums import sums_of, with_sums


def test_a_map_carries_its_sums() -> None:
    x, partial = torch.zeros(1, 2, 3, 3), torch.ones(1, 1, 2, 2)
    assert sums_of(x) is None
    assert sums_of(with_sums(x, partial)) is partial


def test_sums_of_a_map_that_changed_are_not_taken() -> None:
    x = with_sums(torch.zeros(1, 2, 3, 3), torch.ones(1, 1, 2, 2))
    x.add_(1)
    assert sums_of(x) is None


def test_another_map_of_the_same_numbers_has_none() -> None:
    x = with_sums(torch.zeros(1, 2, 3, 3), torch.ones(1, 1, 2, 2))
    assert sums_of(x.view_as(x)) is None
