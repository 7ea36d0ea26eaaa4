# SPDX-License-Identifier: GPL-3.0-or-later
"""Plants."""

import math

from ..shapes import Builder
from ..vary import Vary
from .faces import capsule
from .registry import kind


@kind("tree", second="trunk")
def tree(b: Builder, v: Vary) -> None:
    h, r = v(0.45), v(0.27)
    b.cylinder("second", 0.13, h + 0.1, at=(0, 0, (h + 0.1) / 2), top=0.09, segments=16)
    for turn in range(4):
        a = math.radians(90 * turn + 20)
        z = h + 0.1 + 0.06 * (turn % 2)
        b.sphere("main", r * 0.82, at=(0.19 * math.cos(a), 0.19 * math.sin(a), z), segments=18)
    b.sphere("main", r, at=(0, 0, h + 0.28), segments=20)


@kind("pine", second="trunk")
def pine(b: Builder, v: Vary) -> None:
    h, r = v(0.26), v(0.36)
    b.cylinder("second", 0.12, h + 0.1, at=(0, 0, (h + 0.1) / 2), segments=16)
    for level, (wide, tall) in enumerate(((1.0, 0.4), (0.78, 0.38), (0.56, 0.36))):
        b.cylinder(
            "main", r * wide, tall, at=(0, 0, h + 0.22 * level + tall / 2), top=r * wide * 0.12, segments=22
        )


@kind("cactus", second="pot")
def cactus(b: Builder, v: Vary) -> None:
    r, h, pot = v(0.14), v(0.7), v(0.26)
    b.cylinder("second", pot * 0.72, 0.3, at=(0, 0, 0.15), top=pot * 0.95)
    b.cylinder("second", pot * 1.1, 0.1, at=(0, 0, 0.28))
    capsule(b, "main", r, 0.15, 0.3 + h)
    for side, z in ((-1, v(0.55)), (1, v(0.66))):
        bend = [
            (0, 0, z),
            (side * 0.2, 0, z),
            (side * 0.26, 0, z + 0.03),
            (side * 0.29, 0, z + 0.1),
            (side * 0.29, 0, z + 0.24),
        ]
        b.tube("main", bend, 0.075, segments=14)
        b.sphere("main", 0.0745, at=bend[-1], segments=14)


@kind("flower", second="stem")
def flower(b: Builder, v: Vary) -> None:
    h, r = v(0.66), v(0.17)
    b.tube("second", [(0, 0, 0), (0.02, 0, h * 0.5), (0, 0, h)], 0.05)
    for side in (-1, 1):
        b.sphere(
            "second",
            0.17,
            at=(side * 0.16, 0, h * 0.32),
            scale=(1, 0.42, 0.42),
            rot=(0, -35 * side, 0),
            segments=16,
        )
    for turn in range(6):
        a = math.radians(60 * turn + 30)
        b.sphere(
            "main", r, at=(0.22 * math.cos(a), 0, h + 0.22 * math.sin(a)), scale=(1, 0.5, 1), segments=16
        )
    b.sphere("yellow", 0.15, at=(0, 0, h), scale=(1, 0.85, 1), segments=18)
