# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from backend.mesh import triangle_pixels as module
from backend.mesh.triangle_pixels import triangle_pixels


def collect(corners, height, width, margin=0.0):
    pieces = list(triangle_pixels(np.asarray(corners, dtype=float), height, width, margin))
    return [np.concatenate(parts) for parts in zip(*pieces, strict=True)]


def test_right_triangle_by_hand():
    # Legs of 3 pixels from the upper left corner: the centres with x + y < 3 lie inside.
    face, row, column, weights = collect([[(0, 0), (3, 0), (0, 3)]], 4, 4)
    inside = weights.min(axis=1) > 1e-9  # without the centres on the diagonal
    assert set(zip(row[inside], column[inside], strict=True)) == {(0, 0), (0, 1), (1, 0)}
    first = np.flatnonzero((row == 0) & (column == 1))[0]
    # The centre (1.5, 0.5) is 1/2 of the way along x and 1/6 along y.
    assert weights[first] == pytest.approx((1 / 3, 1 / 2, 1 / 6))
    assert (face == 0).all()


def test_winding_does_not_matter():
    one, other = [(0, 0), (3, 0), (0, 3)], [(0, 0), (0, 3), (3, 0)]
    _, _, _, weights = collect([one], 4, 4)
    _, _, _, turned = collect([other], 4, 4)
    assert turned[:, [0, 2, 1]] == pytest.approx(weights)


def test_clipped_at_the_image_and_grown_by_the_margin():
    triangle = [[(-5, -5), (20, -5), (-5, 20)]]
    _, row, column, _ = collect(triangle, 3, 2)
    assert set(zip(row, column, strict=True)) == {(r, c) for r in range(3) for c in range(2)}
    tiny = [[(2.4, 2.4), (2.6, 2.4), (2.4, 2.6)]]
    assert len(collect(tiny, 5, 5)[0]) == 1
    assert len(collect(tiny, 5, 5, margin=1)[0]) == 9


def test_pieces_give_the_same_as_the_whole(monkeypatch):
    corners = np.random.default_rng(0).random((40, 3, 2)) * 20
    whole = collect(corners, 20, 20)
    monkeypatch.setattr(module, "MOST_PIXELS", 64)
    assert len(list(triangle_pixels(corners, 20, 20))) > 10
    for one, other in zip(whole, collect(corners, 20, 20), strict=True):
        assert (one == other).all()


def test_nothing_to_see():
    assert not list(triangle_pixels(np.zeros((0, 3, 2)), 4, 4))
    line = [[(0, 0), (1, 1), (3, 3)]]
    aside = [[(10, 10), (12, 10), (10, 12)]]
    assert not list(triangle_pixels(np.array(line + aside, dtype=float), 4, 4))
