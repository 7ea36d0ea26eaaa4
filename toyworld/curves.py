# SPDX-License-Identifier: GPL-3.0-or-later
"""Rounded profiles for surfaces of revolution. Needs nothing of Blender."""

from collections.abc import Sequence

Point = tuple[float, float]


def smooth(points: Sequence[Point], steps: int = 3) -> list[Point]:
    """A Catmull-Rom curve through (radius, height) points, in `steps` segments from one to the next.

    Radii stay >= 0.
    """
    ends = [points[0], *points, points[-1]]
    curve: list[Point] = []
    for a, b, c, d in zip(ends, ends[1:], ends[2:], ends[3:], strict=False):
        for i in range(steps):
            t = i / steps
            weights = (
                (-t + 2 * t**2 - t**3) / 2,
                (2 - 5 * t**2 + 3 * t**3) / 2,
                (t + 4 * t**2 - 3 * t**3) / 2,
                (t**3 - t**2) / 2,
            )
            x, z = (sum(w * p[k] for w, p in zip(weights, (a, b, c, d), strict=True)) for k in (0, 1))
            curve.append((max(x, 0.0), z))
    return [*curve, points[-1]]
