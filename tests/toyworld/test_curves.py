# SPDX-License-Identifier: GPL-3.0-or-later
"""Rounded profiles."""

import pytest

from toyworld.curves import smooth


def test_passes_through_every_point() -> None:
    points = [(0.5, 0.0), (1.0, 0.3), (0.4, 0.9), (0.6, 1.0)]
    curve = smooth(points, steps=4)
    assert len(curve) == 3 * 4 + 1
    for got, wanted in zip(curve[::4], points, strict=True):
        assert got == pytest.approx(wanted)


def test_middle_of_a_span_by_hand() -> None:
    # Catmull-Rom at t = 1/2: (-a + 9 b + 9 c - d) / 16
    curve = smooth([(0.0, 0.0), (1.0, 1.0), (1.0, 2.0), (0.0, 3.0)], steps=2)
    assert curve[3] == pytest.approx((18 / 16, 1.5))


def test_radius_never_negative() -> None:
    curve = smooth([(1.0, 0.0), (0.0, 1.0), (0.0, 2.0)], steps=8)
    assert min(radius for radius, _ in curve) == 0.0
