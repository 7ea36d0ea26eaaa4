# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pixels triangles in the plane cover: the inner part of the baker and of the rasteriser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST_PIXELS = 1 << 20
"""Pixels looked at together; bounds the memory."""


class Fragments(NamedTuple):
    """Pairs of a triangle and a pixel near it."""

    face: NDArray[np.int64]  # (N,)
    row: NDArray[np.int64]  # (N,)
    column: NDArray[np.int64]  # (N,)
    weights: NDArray[np.float64]  # (N, 3) barycentrics of the pixel's centre, negative outside


def triangle_pixels(
    corners: NDArray[np.floating[Any]], height: int, width: int, margin: float = 0.0
) -> Iterator[Fragments]:
    """Pixels inside the bounding box, grown by `margin` pixels, of every triangle with an area, in pieces.

    corners: (F, 3, 2) as (x, y) in pixels, y downward; the centre of the pixel in row r, column c is (c +
    .5, r + .5).
    """
    corners = corners.astype(np.float64)
    low = np.ceil(corners.min(axis=1) - margin - 0.5).clip(0, (width, height)).astype(np.int64)
    high = np.floor(corners.max(axis=1) + margin - 0.5).clip(-1, (width - 1, height - 1)).astype(np.int64)
    span = np.maximum(high - low + 1, 0)
    edge_1, edge_2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = edge_1[:, 0] * edge_2[:, 1] - edge_1[:, 1] * edge_2[:, 0]
    count = span.prod(axis=1) * (np.abs(area) > 1e-12)
    for start, stop in _pieces(count):
        face = np.repeat(np.arange(start, stop), count[start:stop])
        if not len(face):
            continue
        before = np.cumsum(count[start:stop]) - count[start:stop]
        local = np.arange(len(face)) - np.repeat(before, count[start:stop])
        row_in_box, column_in_box = np.divmod(local, span[face, 0])
        column, row = low[face, 0] + column_in_box, low[face, 1] + row_in_box
        x, y = column + 0.5 - corners[face, 0, 0], row + 0.5 - corners[face, 0, 1]
        inverse = 1 / area[face]
        second = (x * edge_2[face, 1] - y * edge_2[face, 0]) * inverse
        third = (y * edge_1[face, 0] - x * edge_1[face, 1]) * inverse
        yield Fragments(face, row, column, np.stack([1 - second - third, second, third], axis=1))


def _pieces(count: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Runs of triangles with at most MOST_PIXELS pixels together, or one triangle."""
    total = np.cumsum(count)
    start = 0
    while start < len(count):
        done = total[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(total, done + MOST_PIXELS, side="right")))
        yield start, stop
        start = stop
