# SPDX-License-Identifier: GPL-3.0-or-later
"""Counted bytes against hand-computed ones."""

import pytest
import torch
import torch.nn.functional as F

from benchmarks.traffic import CountedWork


def test_a_matrix_product_reads_both_and_writes_one() -> None:
    a, b = torch.ones(2, 3), torch.ones(3, 5)
    with CountedWork() as counted:
        (a @ b).exp()
    assert counted.works == [(2 * 2 * 3 * 5, 4 * (2 * 3 + 3 * 5 + 2 * 5))]


def test_a_repeated_matrix_is_read_once() -> None:
    a, b = (
        torch.ones(1, 2, 3, dtype=torch.bfloat16).expand(7, 2, 3),
        torch.ones(7, 3, 5, dtype=torch.bfloat16),
    )
    with CountedWork() as counted:
        torch.bmm(a, b)
    assert counted.works == [(7 * 2 * 2 * 3 * 5, 2 * (2 * 3 + 7 * 3 * 5 + 7 * 2 * 5))]


def test_a_frozen_convolution_does_not_read_its_input_again() -> None:
    x, weight = torch.ones(1, 2, 4, 4, requires_grad=True), torch.ones(3, 2, 1, 1)
    y = F.conv2d(x, weight)
    with CountedWork() as counted:
        torch.autograd.grad(y, x, torch.ones_like(y))
    # The gradient of 3 channels and the weight in, that of 2 out.
    assert [moved for _, moved in counted.works] == [4 * (3 * 16 + 3 * 2 + 2 * 16)]


def test_each_takes_what_is_longer() -> None:
    counted = CountedWork()
    counted.works = [(100, 10), (10, 100)]
    assert counted.seconds(flops=10, bandwidth=10) == pytest.approx(20)
    assert counted.seconds(flops=10, bandwidth=1) == pytest.approx(110)
