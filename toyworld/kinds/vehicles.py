# SPDX-License-Identifier: GPL-3.0-or-later
"""Vehicles; all of them head to -Y."""

from collections.abc import Sequence

from ..shapes import Builder
from ..vary import Vary
from .registry import kind


def wheels(b: Builder, r: float, x: float, ys: Sequence[float], width: float = 0.15) -> None:
    """Black wheels with gray hubs that stand on the ground at (±x, y)."""
    for y in ys:
        for side in (-1, 1):
            b.cylinder("black", r, width, at=(side * x, y, r), rot=(0, 90, 0), segments=20)
            b.cylinder("gray", r * 0.5, width + 0.04, at=(side * x, y, r), rot=(0, 90, 0), segments=12)


@kind("car", second="roof", front=True)
def car(b: Builder, v: Vary) -> None:
    w, n, h, cabin = v(0.54), v(1.0), v(0.26), v(0.5)
    low, top = 0.12, 0.12 + h
    b.box("main", (w, n, h), at=(0, 0, low + h / 2), bevel=0.07)
    b.box("black", (w - 0.08, cabin, 0.24), at=(0, 0.08, top + 0.08), taper=0.85)
    b.box("second", (w - 0.06, cabin - 0.02, 0.13), at=(0, 0.08, top + 0.21), bevel=0.045)
    wheels(b, v(0.15), w / 2 - 0.03, (-n * 0.3, n * 0.3))
    for side in (-1, 1):
        b.sphere("yellow", 0.085, at=(side * (w / 2 - 0.11), -n / 2 + 0.01, low + h * 0.6), segments=16)
    b.box("black", (w - 0.36, 0.08, 0.1), at=(0, -n / 2, low + h * 0.55))
    b.box("gray", (w - 0.02, 0.1, 0.07), at=(0, -n / 2 - 0.01, low + 0.05), bevel=0.02)
    b.rest(top + 0.275, 0.2, (0, 0.08))


@kind("truck", second="back", front=True)
def truck(b: Builder, v: Vary) -> None:
    w, cab, bed, h = v(0.5), v(0.34), v(0.64), v(0.5)
    front = -(cab + bed) / 2
    b.box("main", (w, cab, h), at=(0, front + cab / 2, 0.14 + h / 2), bevel=0.05)
    b.box("black", (w - 0.1, 0.06, h * 0.34), at=(0, front - 0.005, 0.14 + h * 0.72))
    b.box("black", (w + 0.03, cab * 0.5, h * 0.3), at=(0, front + cab * 0.45, 0.14 + h * 0.72))
    y = front + cab + bed / 2
    b.box("main", (w - 0.14, cab + bed - 0.08, 0.1), at=(0, 0.02, 0.18))
    b.box("second", (w, bed, 0.12), at=(0, y, 0.28))
    for side in (-1, 1):
        b.box("second", (0.07, bed + 0.004, 0.27), at=(side * (w / 2 - 0.03), y, 0.355))
        b.box("second", (w - 0.02, 0.07, 0.26), at=(0, y + side * (bed / 2 - 0.035), 0.345))
    wheels(b, v(0.14), w / 2 - 0.03, (front + cab * 0.55, y - bed * 0.05, y + bed * 0.4 - 0.02))
    for side in (-1, 1):
        b.sphere("yellow", 0.07, at=(side * (w / 2 - 0.11), front, 0.14 + h * 0.36), segments=16)
    b.box("gray", (w - 0.04, 0.1, 0.08), at=(0, front, 0.19), bevel=0.02)
    b.rest(0.34, 0.19, (0, y))


@kind("train", second="roof", front=True)
def train(b: Builder, v: Vary) -> None:
    r, n, w, h = v(0.19), v(0.62), v(0.5), v(0.56)
    b.box("black", (w - 0.14, n + 0.34, 0.12), at=(0, 0, 0.2))
    b.cylinder("main", r, n, at=(0, -0.46 + n / 2, 0.2 + r), rot=(90, 0, 0))
    b.cylinder("gray", r + 0.03, 0.08, at=(0, -0.43, 0.2 + r), rot=(90, 0, 0))
    b.box("main", (w, 0.38, h), at=(0, 0.3, 0.16 + h / 2), bevel=0.02)
    b.box("black", (w + 0.03, 0.2, h * 0.32), at=(0, 0.3, 0.16 + h * 0.72))
    b.box("second", (w + 0.1, 0.5, 0.13), at=(0, 0.3, 0.19 + h), bevel=0.05)
    chimney = v(0.3)
    b.cylinder("black", 0.075, chimney, at=(0, -0.3, 0.14 + 2 * r + chimney / 2), top=0.12)
    b.sphere("yellow", 0.09, at=(0, -0.48, 0.2 + r), segments=16)
    wedge = [(-0.62, 0.03), (-0.38, 0.03), (-0.38, 0.22), (-0.46, 0.22)]
    b.prism("gray", wedge, w - 0.08, rot=(0, 0, 90))
    wheels(b, v(0.13), w / 2 - 0.06, (-0.26, 0.02, 0.32), 0.12)


@kind("boat", second="sail")
def boat(b: Builder, v: Vary) -> None:
    w, n, mast = v(0.22), v(0.46), v(0.95)
    for grow, depth, z in (
        (0.74, 0.06, 0.03),
        (0.85, 0.06, 0.07),
        (0.93, 0.06, 0.12),
        (0.98, 0.06, 0.17),
        (1.0, 0.1, 0.23),
    ):
        plan = [
            (-0.75, 1),
            (0.75, 1),
            (1, 0.4),
            (1, -0.2),
            (0.6, -0.75),
            (0, -1.15),
            (-0.6, -0.75),
            (-1, -0.2),
            (-1, 0.4),
        ]
        b.prism("main", [(x * w * grow, y * n * grow) for x, y in plan], depth, at=(0, 0, z), rot=(-90, 0, 0))
    b.box("brown", (w * 0.9, n * 0.5, 0.1), at=(0, n * 0.45, 0.3), bevel=0.02)
    b.cylinder("brown", 0.035, mast, at=(0, -0.08, 0.12 + mast / 2), segments=12)
    sail = [(-0.36, 0.4), (0.44, 0.4), (0.3, 0.62), (0.02, 0.1 + mast)]
    b.prism("second", sail, 0.09, at=(0, -0.08, 0), rot=(0, 0, 55))


@kind("rocket", second="fins")
def rocket(b: Builder, v: Vary) -> None:
    r, h = v(0.2), v(0.95)
    shape = [
        (0, 0.08),
        (0.55, 0.08),
        (0.85, 0.25),
        (1, 0.45),
        (0.95, 0.62),
        (0.75, 0.78),
        (0.4, 0.92),
        (0, 1.0),
    ]
    b.lathe("main", [(x * r, z * h if z > 0.1 else z) for x, z in shape])
    b.cylinder("black", r * 0.62, 0.12, at=(0, 0, 0.08), top=r * 0.4)
    fin = [(r * 0.5, 0.14), (r + 0.18, 0.0), (r + 0.22, 0.02), (r + 0.2, 0.24), (r * 0.8, 0.5)]
    for turn in range(4):
        b.prism("second", fin, 0.09, rot=(0, 0, 45 + 90 * turn))
    for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        b.sphere(
            "cyan",
            0.09,
            at=(x * r * 0.82, y * r * 0.82, h * 0.57),
            scale=(0.5 + 0.4 * abs(y), 0.5 + 0.4 * abs(x), 0.95),
            segments=14,
        )


@kind("airplane", second="wings")
def airplane(b: Builder, v: Vary) -> None:
    n, r, span = v(1.0), v(0.13), v(1.05)
    path = [(0, y * n, r + 0.02) for y in (-0.5, -0.47, -0.4, -0.25, 0.1, 0.4, 0.5)]
    b.tube("main", path, [0.03, r * 0.6, r * 0.9, r, r, r * 0.6, 0.05], segments=20)
    b.sphere("black", r * 0.72, at=(0, -0.27 * n, r * 1.75), scale=(0.9, 1.5, 0.8), segments=18)
    wing = [(-1, 0.12), (-1, -0.04), (0, -0.2), (1, -0.04), (1, 0.12), (0, 0.14)]
    for z, wide, y, grow in ((r, span / 2, -0.04, 1.0), (r + 0.03, span * 0.22, n * 0.43, 0.6)):
        b.prism("second", [(x * wide, yy * grow) for x, yy in wing], 0.08, at=(0, y, z), rot=(-90, 0, 0))
    fin = [(0.2, 0.1), (0.46, 0.1), (0.5, 0.38), (0.38, 0.38)]
    b.prism("second", [(y * n, z + r * 0.4) for y, z in fin], 0.075, rot=(0, 0, 90))
