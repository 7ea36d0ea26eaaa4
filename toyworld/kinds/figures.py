# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures with a face."""

import math

from ..shapes import Builder
from ..vary import Vary
from .faces import capsule, eyes
from .registry import kind


@kind("robot", second="arms", front=True)
def robot(b: Builder, v: Vary) -> None:
    w, h, head, leg = v(0.42), v(0.38), v(0.3), v(0.2)
    b.box("main", (w, 0.3, h), at=(0, 0, leg + h / 2), bevel=0.03)
    z = leg + h + 0.03
    b.cylinder("gray", 0.08, 0.12, at=(0, 0, z - 0.01), segments=14)
    b.box("main", (head + 0.08, 0.28, head * 0.85), at=(0, 0, z + head * 0.425), bevel=0.03)
    b.cylinder("gray", 0.032, 0.14, at=(0, 0, z + head * 0.85 + 0.05), segments=12)
    b.sphere("red", 0.055, at=(0, 0, z + head * 0.85 + 0.13), segments=12)
    eyes(b, head * 0.3, -0.14, z + head * 0.54, 0.072)
    b.box("black", (head * 0.6, 0.06, 0.05), at=(0, -0.14, z + head * 0.17))
    b.box("white", (w * 0.6, 0.06, h * 0.45), at=(0, -0.15, leg + h * 0.55))
    for side in (-1, 1):
        x = side * (w / 2 + 0.06)
        arm = [
            (x - side * 0.1, 0, leg + h * 0.82),
            (x, 0, leg + h * 0.8),
            (x + side * 0.05, -0.02, leg + h * 0.35),
            (x + side * 0.05, -0.16, leg + h * 0.1),
        ]
        b.tube("second", arm, 0.065, segments=12)
        b.sphere("second", 0.095, at=arm[-1], segments=14)
        b.box("main", (0.15, 0.22, leg + 0.06), at=(side * w * 0.27, -0.02, (leg + 0.06) / 2))


@kind("snowman", second="hat", front=True)
def snowman(b: Builder, v: Vary) -> None:
    low, r = v(0.29), v(0.2)
    b.sphere("main", low, at=(0, 0, low))
    head = low * 1.9 + r * 0.75
    b.sphere("main", r, at=(0, 0, head))
    top = head + r * 0.8
    b.cylinder("second", r * 1.2, 0.07, at=(0, 0, top))
    b.cylinder("second", r * 0.78, 0.24, at=(0, 0, top + 0.11), top=r * 0.84)
    eyes(b, r * 0.46, -r * 0.78, head + 0.04, 0.062)
    b.cylinder("orange", 0.055, 0.22, at=(0, -r - 0.08, head - 0.045), rot=(90, 0, 0), top=0.012, segments=14)
    for angle in (-5, 20, 45):
        a = math.radians(angle)
        b.sphere("black", 0.042, at=(0, -low * math.cos(a), low + low * math.sin(a)), segments=12)
    for side in (-1, 1):
        b.tube("brown", [(side * low * 0.6, 0, low * 1.25), (side * (low + 0.18), 0, low * 1.7)], 0.036)


@kind("ghost", front=True, patterns=True)
def ghost(b: Builder, v: Vary) -> None:
    r, h = v(0.32), v(0.95)
    shape = [
        (0, 0.1),
        (1.0, 0.1),
        (1.0, 0.16),
        (0.93, 0.35),
        (0.9, 0.62),
        (0.8, 0.8),
        (0.6, 0.92),
        (0.32, 0.985),
        (0, 1),
    ]
    b.lathe("main", [(x * r, z * h) for x, z in shape])
    for turn in range(8):
        a = math.radians(45 * turn + 22.5)
        capsule(b, "main", 0.1, 0, h * 0.2 + 0.05, (r * 0.8 * math.cos(a), r * 0.8 * math.sin(a)))
    for side in (-1, 1):
        hand = (side * (r + 0.15), -0.08, h * 0.6)
        b.tube(
            "main",
            [(side * r * 0.6, -0.02, h * 0.48), (side * (r + 0.06), -0.06, h * 0.52), hand],
            0.08,
            segments=12,
        )
        b.sphere("main", 0.081, at=hand, segments=12)
    eyes(b, 0.115, -r * 0.78, h * 0.74, 0.09)
    b.sphere("black", 0.09, at=(0, -r * 0.88, h * 0.54), scale=(0.85, 0.6, 1.2), segments=16)


@kind("suzanne", front=True)
def suzanne(b: Builder, v: Vary) -> None:
    b.monkey("main", v(1.0), at=(0, 0, 0.38))
