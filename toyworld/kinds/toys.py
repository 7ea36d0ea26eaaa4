# SPDX-License-Identifier: GPL-3.0-or-later
"""Toys and presents."""

import math

from ..shapes import Builder
from ..vary import Vary
from .registry import kind


@kind("ball", patterns=True)
def ball(b: Builder, v: Vary) -> None:
    r = v(0.5)
    b.sphere("main", r, at=(0, 0, r), segments=36)


@kind("block", patterns=True)
def block(b: Builder, v: Vary) -> None:
    w, d, h = v(0.75), v(0.75), v(0.7)
    b.box("main", (w, d, h), at=(0, 0, h / 2), bevel=0.05)
    b.rest(h, min(w, d) / 2 - 0.05)


@kind("drum", second="top", patterns=True)
def drum(b: Builder, v: Vary) -> None:
    r, h = v(0.4), v(0.55)
    b.cylinder("main", r, h, at=(0, 0, h / 2), segments=32)
    b.cylinder("second", r + 0.04, 0.15, at=(0, 0, h + 0.005), segments=32)
    b.cylinder("gray", r + 0.035, 0.08, at=(0, 0, 0.04), segments=32)
    rope = []
    for step in range(12):
        a = math.radians(30 * step)
        rope.append((r * math.cos(a), r * math.sin(a), 0.07 if step % 2 else h - 0.07))
    b.tube("white", rope, 0.035, closed=True, segments=8)
    b.rest(h + 0.08, r)


@kind("gift", second="ribbon", patterns=True)
def gift(b: Builder, v: Vary) -> None:
    w, d, h = v(0.72), v(0.72), v(0.56)
    b.box("main", (w, d, h), at=(0, 0, h / 2), bevel=0.02)
    b.box("second", (w + 0.04, 0.17, h + 0.02), at=(0, 0, h / 2 + 0.01))
    b.box("second", (0.17, d + 0.04, h + 0.03), at=(0, 0, h / 2 + 0.015))
    for turn in range(4):
        a = math.radians(90 * turn)
        b.torus(
            "second",
            0.1,
            0.05,
            at=(0.14 * math.cos(a), 0.14 * math.sin(a), h + 0.12),
            rot=(90, -25, 90 * turn),
        )
    b.sphere("second", 0.09, at=(0, 0, h + 0.07), segments=14)


@kind("camera", second="lens", front=True)
def camera(b: Builder, v: Vary) -> None:
    w, d, h, r = v(0.9), v(0.34), v(0.56), v(0.22)
    b.box("main", (w, d, h), at=(0, 0, h / 2), bevel=0.05)
    b.box("main", (0.34, d * 0.75, 0.2), at=(0, 0, h + 0.04), taper=0.75)
    b.box("white", (0.2, 0.08, 0.1), at=(0, -d * 0.36, h + 0.03))
    y = -d / 2
    b.cylinder("second", r, 0.3, at=(0, y - 0.09, h * 0.48), rot=(90, 0, 0), top=r * 0.9)
    b.cylinder("black", r * 0.68, 0.1, at=(0, y - 0.21, h * 0.48), rot=(90, 0, 0))
    b.sphere("white", 0.045, at=(-0.05, y - 0.26, h * 0.48 + 0.06), segments=10)
    b.cylinder("red", 0.075, 0.1, at=(-w * 0.33, 0, h + 0.03), segments=16)
