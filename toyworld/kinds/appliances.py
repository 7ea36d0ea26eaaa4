# SPDX-License-Identifier: GPL-3.0-or-later
"""Household machines; all of them have a front."""

import math

from ..shapes import Builder
from ..vary import Vary
from .registry import kind


@kind("television", second="screen", front=True)
def television(b: Builder, v: Vary) -> None:
    w, d, h, leg = v(0.9), v(0.42), v(0.62), v(0.16)
    for sx in (-1, 1):
        for sy in (-1, 1):
            x, y = sx * (w / 2 - 0.14), sy * (d / 2 - 0.1)
            b.tube("main", [(x + sx * 0.05, y + sy * 0.03, 0.012), (x, y, leg + 0.05)], [0.04, 0.055])
        b.tube("main", [(sx * 0.03, 0.02, leg + h - 0.03), (sx * 0.24, 0.02, leg + h + 0.24)], 0.028)
        b.sphere("main", 0.042, at=(sx * 0.24, 0.02, leg + h + 0.24), segments=12)
    b.box("main", (w, d, h), at=(0, 0, leg + h / 2), bevel=0.06)
    b.box("second", (w * 0.66, 0.08, h * 0.76), at=(-w * 0.09, -d / 2 + 0.01, leg + h / 2), bevel=0.035)
    for place in (0.7, 0.48):
        b.cylinder("second", 0.05, 0.06, at=(w * 0.365, -d / 2, leg + h * place), rot=(90, 0, 0), segments=16)


@kind("clock", second="face", front=True)
def clock(b: Builder, v: Vary) -> None:
    r, d = v(0.38), v(0.3)
    z = r + 0.08
    b.cylinder("main", r, d, at=(0, 0, z), rot=(90, 0, 0), segments=32)
    b.torus("main", r - 0.02, 0.045, at=(0, -d / 2, z), rot=(90, 0, 0))
    b.cylinder("second", r - 0.03, 0.05, at=(0, -d / 2, z), rot=(90, 0, 0), segments=32)
    b.tube("main", [(0, -d / 2 - 0.03, z), (0, -d / 2 - 0.03, z + r * 0.66)], 0.03, segments=8)
    b.tube("main", [(0, -d / 2 - 0.03, z), (r * 0.46, -d / 2 - 0.03, z + r * 0.1)], 0.03, segments=8)
    b.sphere("main", 0.045, at=(0, -d / 2 - 0.03, z), segments=12)
    for side in (-1, 1):
        b.tube("main", [(side * r * 0.85, 0, 0.03), (side * r * 0.5, 0, z - r * 0.5)], 0.055)
        tilt = math.radians(35)
        at = (side * (r + 0.04) * math.sin(tilt), 0, z + (r + 0.04) * math.cos(tilt))
        b.sphere("main", v(0.15), at=at, scale=(1, 1, 0.75), rot=(0, side * 35, 0), segments=16)
    b.box("main", (0.08, 0.08, 0.2), at=(0, 0, z + r + 0.06), bevel=0.015)


@kind("oven", second="door", front=True, portable=False)
def oven(b: Builder, v: Vary) -> None:
    w, d, h = v(0.74), v(0.62), v(0.66)
    b.box("black", (w - 0.08, d - 0.08, 0.12), at=(0, 0, 0.06))
    b.box("main", (w, d, h), at=(0, 0, 0.06 + h / 2), bevel=0.015)
    top = h + 0.06
    b.box("main", (w - 0.01, 0.09, 0.4), at=(0, d / 2 - 0.05, top), bevel=0.02)
    b.box("second", (w * 0.84, 0.07, h * 0.62), at=(0, -d / 2 - 0.005, 0.1 + h * 0.34), bevel=0.02)
    b.tube("main", [(-w * 0.32, -d / 2 - 0.07, h * 0.64), (w * 0.32, -d / 2 - 0.07, h * 0.64)], 0.036)
    for place in (-1.5, -0.5, 0.5, 1.5):
        at = (place * w * 0.21, -d / 2 - 0.02, h * 0.92)
        b.cylinder("black", 0.046, 0.08, at=at, rot=(90, 0, 0), segments=16)
    for sx in (-1, 1):
        for y in (-0.27, 0.16):
            b.cylinder("black", w * 0.18, 0.08, at=(sx * w * 0.23, y * d, top + 0.01), segments=20)
    b.rest(top + 0.05, d * 0.36, (0, -0.05))


@kind("washing machine", second="door", front=True, portable=False)
def washing_machine(b: Builder, v: Vary) -> None:
    w, d, h = v(0.7), v(0.6), v(0.86)
    b.box("main", (w, d, h), at=(0, 0, h / 2), bevel=0.07)
    z, r = h * 0.4, w * 0.36
    b.cylinder("second", r, 0.12, at=(0, -d / 2, z), rot=(90, 0, 0), top=r * 0.9, segments=32)
    b.sphere("white", r * 0.56, at=(0, -d / 2 - 0.045, z), scale=(1, 0.35, 1), segments=20)
    b.box("black", (w * 0.34, 0.06, h * 0.11), at=(-w * 0.2, -d / 2, h * 0.87), bevel=0.015)
    for x in (0.12, 0.31):
        b.cylinder("second", 0.052, 0.12, at=(x * w, -d / 2, h * 0.87), rot=(90, 0, 0), segments=16)
    b.rest(h, d * 0.42)


@kind("radio", second="speakers", front=True)
def radio(b: Builder, v: Vary) -> None:
    w, d, h = v(0.96), v(0.3), v(0.5)
    b.box("main", (w, d, h), at=(0, 0, h / 2), bevel=0.05)
    for side in (-1, 1):
        x = side * w * 0.3
        b.cylinder("second", h * 0.31, 0.08, at=(x, -d / 2, h * 0.4), rot=(90, 0, 0), segments=28)
        b.sphere("main", h * 0.12, at=(x, -d / 2 - 0.04, h * 0.4), scale=(1, 0.4, 1), segments=14)
        b.tube("main", [(side * w * 0.36, 0, h - 0.03), (side * w * 0.36, 0, h + 0.16)], 0.036)
    b.box("main", (w * 0.72 + 0.08, 0.08, 0.08), at=(0, 0, h + 0.16), bevel=0.02)
    b.box("white", (w * 0.5, 0.06, h * 0.14), at=(0, -d / 2, h * 0.84), bevel=0.012)
    b.box("black", (w * 0.16, 0.06, h * 0.3), at=(0, -d / 2, h * 0.4), bevel=0.012)
