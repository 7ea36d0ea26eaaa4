# SPDX-License-Identifier: GPL-3.0-or-later
"""Tools; they stand upright, their handle's end on the ground."""

from ..shapes import Builder
from ..vary import Vary
from .registry import kind


@kind("hammer", second="handle")
def hammer(b: Builder, v: Vary) -> None:
    h, w = v(0.8), v(0.52)
    grip = [(0.08, 0), (0.09, 0.05), (0.075, 0.35), (0.055, h * 0.7), (0.055, h + 0.06)]
    b.lathe("second", [(0, 0), *grip, (0, h + 0.06)])
    b.box("main", (0.2, 0.2, 0.22), at=(0, 0, h), bevel=0.025)
    b.cylinder("main", 0.085, w * 0.5, at=(-w * 0.25, 0, h), rot=(0, 90, 0))
    b.cylinder("main", 0.14, 0.15, at=(-w * 0.5, 0, h), rot=(0, 90, 0))
    claw = [(0.03, -0.1), (w * 0.4, -0.07), (w * 0.72, -0.2), (w * 0.66, -0.04), (w * 0.4, 0.1), (0.03, 0.1)]
    b.prism("main", claw, 0.16, at=(0, 0, h))


@kind("axe", second="handle")
def axe(b: Builder, v: Vary) -> None:
    h, w = v(0.86), v(0.4)
    grip = [(0.085, 0), (0.095, 0.05), (0.065, 0.15), (0.058, h * 0.7), (0.058, h + 0.17)]
    b.lathe("second", [(0, 0), *grip, (0, h + 0.17)], at=(0.12, 0, 0))
    b.box("main", (0.22, 0.18, 0.24), at=(0.14, 0, h), bevel=0.02)
    edge = [(-w, 0.27), (-w * 1.12, 0.15), (-w * 1.16, 0), (-w * 1.12, -0.15), (-w, -0.29)]
    b.prism("main", [(0, 0.09), *edge, (0, -0.09)], 0.11, at=(0.12, 0, h))


@kind("umbrella", second="handle", patterns=True, portable=False)
def umbrella(b: Builder, v: Vary) -> None:
    r, h, hook = v(0.5), v(0.68), v(0.1)
    low = hook + 0.05
    b.tube("second", [(0, 0, low), (0, 0, h + 0.3)], 0.036)
    b.torus("second", hook, 0.05, at=(hook, 0, low), rot=(-90, 0, 0), arc=180)
    b.tube("second", [(0, 0, low), (0, 0, low + 0.2)], 0.05)
    b.sphere("second", 0.05, at=(2 * hook, 0, low), segments=12)
    outside = [(r, h - 0.06), (r * 0.9, h + 0.07), (r * 0.66, h + 0.2), (r * 0.35, h + 0.28), (0, h + 0.31)]
    inside = [(0, h + 0.2), (r * 0.35, h + 0.19), (r * 0.66, h + 0.1), (r * 0.88, h - 0.06)]
    b.lathe("main", [*inside, *outside], segments=8)
    b.cylinder("second", 0.05, 0.12, at=(0, 0, h + 0.34), top=0.03)


@kind("bucket", second="handle", patterns=True)
def bucket(b: Builder, v: Vary) -> None:
    r, h = v(0.36), v(0.56)
    b.lathe("main", [(0, 0), (r * 0.74, 0), (r, h), (r - 0.065, h), (r * 0.74 - 0.06, 0.07), (0, 0.07)])
    b.torus("main", r - 0.015, 0.045, at=(0, 0, h - 0.03))
    b.torus("second", r + 0.03, 0.042, at=(0, 0, h - 0.06), rot=(90, 0, 0), arc=180)
    for side in (-1, 1):
        b.sphere("second", 0.07, at=(side * (r + 0.02), 0, h - 0.06), segments=12)
