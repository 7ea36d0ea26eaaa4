# SPDX-License-Identifier: GPL-3.0-or-later
"""Food: sweets, fruit and vegetables."""

import math

from ..curves import smooth
from ..shapes import Builder
from ..vary import Vary
from .registry import kind


def _around(count: int, radius: float, start: float = 0.0) -> list[tuple[float, float, float]]:
    """Points on a circle: x, y and the angle in degrees."""
    angles = [start + 360 * i / count for i in range(count)]
    return [(radius * math.cos(math.radians(a)), radius * math.sin(math.radians(a)), a) for a in angles]


@kind("cake", second="icing", patterns=True)
def cake(b: Builder, v: Vary) -> None:
    r, h = v(0.44), v(0.4)
    b.cylinder("main", r, h, at=(0, 0, h / 2), segments=32)
    edge = [(r + 0.035, h - 0.06), (r + 0.035, h + 0.03), (r - 0.02, h + 0.08)]
    b.lathe("second", [(0, h - 0.06), *edge, (0, h + 0.08)])
    for i, (x, y, _) in enumerate(_around(10, r)):
        low = h * (0.4 if i % 2 else 0.62)
        b.tube("second", [(x, y, h), (x, y, low)], 0.06, segments=8)
        b.sphere("second", 0.06, at=(x, y, low), segments=8)
    for x, y, _ in _around(8, r - 0.07):
        b.sphere("main", 0.075, at=(x, y, h + 0.1), segments=10)
    b.rest(h + 0.08, r - 0.15)


@kind("ice cream", second="cone", patterns=True)
def ice_cream(b: Builder, v: Vary) -> None:
    r, h = v(0.28), v(0.56)
    rim = [(r * 0.84, h - 0.1), (r * 1.02, h - 0.1), (r * 1.06, h + 0.02)]
    b.lathe("second", [(0, 0), (0.05, 0), *rim, (0, h + 0.02)])
    b.sphere("main", r, at=(0, 0, h + r * 0.42))
    b.torus("main", r * 0.84, 0.075, at=(0, 0, h + 0.06))
    b.sphere("main", r * 0.68, at=(0, 0, h + r * 1.42), segments=20)


@kind("donut", second="icing")
def donut(b: Builder, v: Vary) -> None:
    ring, tube = v(0.32), v(0.16)
    turn = [math.radians(20 * i) for i in range(19)]
    b.lathe("main", [(ring + tube * math.cos(a), tube + tube * math.sin(a)) for a in turn])
    thick = tube + 0.025
    half = [math.radians(a) for a in range(13, 168, 14)]
    over = [(ring + thick * math.cos(a), tube + thick * math.sin(a)) for a in half]
    b.lathe("second", [(ring, tube), *over, (ring, tube)])
    for i, (x, y, a) in enumerate(_around(9, ring)):
        out = 1 + (0.16 if i % 2 else -0.16)
        top = 2 * tube + 0.02
        b.box("main", (0.09, 0.045, 0.045), at=(x * out, y * out, top), rot=(0, 0, a * 2.3 + 40), bevel=0.012)


@kind("apple", second="leaf")
def apple(b: Builder, v: Vary) -> None:
    r, h = v(0.42), v(0.72)
    low = [(0.3, 0), (0.55, 0.03), (0.82, 0.22), (0.98, 0.5)]
    high = [(0.97, 0.72), (0.8, 0.92), (0.5, 1.0), (0.22, 0.95)]
    side = [(r * x, max(h * z, 0)) for x, z in smooth([*low, *high])]
    b.lathe("main", [(0, 0.05), *side, (0, h * 0.84)])
    twig = [(0, 0, h * 0.8), (0.01, 0, h + 0.06), (-0.05, 0, h + 0.2)]
    b.tube("brown", twig, [0.035, 0.035, 0.045], segments=8)
    b.sphere("second", 0.22, at=(0.19, 0, h + 0.11), scale=(1, 0.6, 0.32), rot=(0, -28, 0), segments=16)


@kind("carrot", second="leaves")
def carrot(b: Builder, v: Vary) -> None:
    r, h, leaf = v(0.19), v(0.66), v(0.34)
    root = smooth([(0.04, 0.01), (r * 0.6, h * 0.4), (r, h * 0.8), (r * 0.85, h * 0.95), (r * 0.4, h)])
    b.lathe("main", [(0, 0), *root, (0, h)])
    for x, y, _ in _around(5, 1.0):
        path = [(x * out, y * out, h + leaf * up) for out, up in ((0.04, -0.15), (0.11, 0.5), (0.24, 0.85))]
        b.tube("second", path, [0.04, 0.07, 0.035], segments=8)
    middle = [(0, 0, h - 0.05), (0, 0, h + leaf * 0.6), (0, 0, h + leaf)]
    b.tube("second", middle, [0.045, 0.07, 0.035], segments=8)


@kind("mushroom", second="stem", patterns=True)
def mushroom(b: Builder, v: Vary) -> None:
    r, h, cap = v(0.46), v(0.48), v(0.4)
    side = smooth([(0.22, 0.06), (0.16, h * 0.6), (0.16, h + 0.08)])
    b.lathe("second", [(0, 0), (0.2, 0), *side, (0, h + 0.08)])
    quarter = [math.radians(10 * i) for i in range(10)]
    dome = [(r * math.cos(a), h + 0.03 + (cap - 0.03) * math.sin(a)) for a in quarter]
    b.lathe("main", [(0, h + 0.05), (r * 0.6, h), (r * 0.9, h - 0.03), *dome[:-1], (0, h + cap)])


@kind("pumpkin", second="stem")
def pumpkin(b: Builder, v: Vary) -> None:
    r, h = v(0.27), v(0.66)
    for x, y, a in _around(8, r * 0.85, start=22.5):
        b.sphere("main", 0.5, at=(x, y, h / 2), scale=(r * 1.9, r * 1.45, h), rot=(0, 0, a), segments=14)
    b.sphere("main", r, at=(0, 0, h / 2), scale=(1, 1, h / 2 / r * 0.86), segments=12)
    b.tube("second", [(0, 0, h * 0.8), (0, 0, h + 0.06), (0.07, 0, h + 0.2)], [0.13, 0.085, 0.085])
