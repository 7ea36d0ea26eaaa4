# SPDX-License-Identifier: GPL-3.0-or-later
"""Furniture: things to sit on, lie on and keep things in."""

from ..curves import smooth
from ..shapes import Builder
from ..vary import Vary
from .registry import kind


def _corner_legs(b: Builder, role: str, x: float, y: float, height: float, thick: float) -> None:
    for sx in (-1, 1):
        for sy in (-1, 1):
            b.box(role, (thick, thick, height), at=(sx * x, sy * y, height / 2), bevel=0.01)


@kind("chair", second="seat", portable=False)
def chair(b: Builder, v: Vary) -> None:
    w, h, back, t = v(0.5), v(0.44), v(0.52), 0.09
    x = w / 2 - t / 2
    _corner_legs(b, "main", x, x, h, t)
    b.box("second", (w + 0.06, w + 0.06, 0.1), at=(0, -0.01, h), bevel=0.025)
    for side in (-1, 1):
        b.box("main", (t, t - 0.01, back), at=(side * x, x + 0.01, h + back / 2), bevel=0.01)
    b.box("main", (w + 0.03, t + 0.01, back * 0.36), at=(0, x + 0.01, h + back * 0.82), bevel=0.03)
    b.box("main", (w - 0.02, t - 0.03, back * 0.2), at=(0, x + 0.01, h + back * 0.38), bevel=0.01)
    b.rest(h + 0.05, w * 0.4, (0, -0.04))


@kind("table", second="legs", patterns=True, portable=False)
def table(b: Builder, v: Vary) -> None:
    w, d, h = v(1.0), v(0.68), v(0.56)
    _corner_legs(b, "second", w / 2 - 0.1, d / 2 - 0.1, h, v(0.12))
    b.box("main", (w, d, 0.1), at=(0, 0, h + 0.03), bevel=0.025)
    b.rest(h + 0.08, d * 0.45)


@kind("stool", second="legs", portable=False)
def stool(b: Builder, v: Vary) -> None:
    r, h, spread = v(0.33), v(0.7), v(0.13)
    for sx in (-1, 1):
        for sy in (-1, 1):
            top, foot = r * 0.5, r * 0.5 + spread
            b.tube("second", [(sx * foot, sy * foot, 0.015), (sx * top, sy * top, h)], 0.055)
    b.torus("second", r * 0.707 + spread * 0.8, 0.035, at=(0, 0, h * 0.38))
    edge = [(r * 0.94, h - 0.05), (r, h), (r, h + 0.06), (r * 0.92, h + 0.11)]
    b.lathe("main", [(0, h - 0.05), *edge, (0, h + 0.11)])
    b.rest(h + 0.11, r * 0.9)


@kind("bench", second="legs", portable=False)
def bench(b: Builder, v: Vary) -> None:
    w, d, h, back = v(1.1), v(0.36), v(0.32), v(0.38)
    for side in (-1, 1):
        x = side * (w / 2 - 0.14)
        b.box("second", (0.1, d - 0.04, 0.09), at=(x, 0, h - 0.06), bevel=0.01)
        b.box("second", (0.1, 0.1, h), at=(x, -d / 2 + 0.08, h / 2), bevel=0.01)
        b.box("second", (0.1, 0.1, h + back - 0.05), at=(x, d / 2 - 0.01, (h + back - 0.05) / 2), bevel=0.01)
    b.box("main", (w, d, 0.08), at=(0, -0.05, h), bevel=0.02)
    for place in (0.45, 0.92):
        b.box("main", (w, 0.09, back * 0.36), at=(0, d / 2 - 0.08, h + back * place), bevel=0.02)
    b.rest(h + 0.04, d * 0.4, (0, -0.06))


@kind("bed", second="pillow", patterns=True, portable=False)
def bed(b: Builder, v: Vary) -> None:
    w, length, h = v(0.66), v(1.0), v(0.26)
    y, head = length / 2, h + v(0.3)
    b.box("main", (w + 0.06, 0.09, head), at=(0, y, head / 2), bevel=0.03)
    b.box("main", (w + 0.06, 0.09, h + 0.04), at=(0, -y, (h + 0.04) / 2), bevel=0.03)
    b.box("main", (w + 0.02, length, 0.1), at=(0, 0, h * 0.5))
    b.box("white", (w - 0.01, length - 0.03, h * 0.5), at=(0, 0, h * 0.7), bevel=0.02)
    b.box("main", (w + 0.05, length * 0.62, h * 0.6), at=(0, -length * 0.17, h * 0.74), bevel=0.04)
    b.box("second", (w * 0.8, length * 0.25, 0.17), at=(0, y - length * 0.19, h + 0.07), bevel=0.07)
    b.rest(h * 1.04, w * 0.42, (0, -length * 0.17))


@kind("sofa", second="cushions", patterns=True, portable=False)
def sofa(b: Builder, v: Vary) -> None:
    w, d, h, arm = v(1.1), v(0.5), v(0.26), v(0.15)
    _corner_legs(b, "main", w / 2 - 0.1, d / 2 - 0.08, 0.12, 0.1)
    b.box("main", (w - 0.02, d, h - 0.06), at=(0, 0, h / 2 + 0.03), bevel=0.03)
    b.box("main", (w - 0.04, 0.17, v(0.5)), at=(0, d / 2 - 0.06, h + 0.1), bevel=0.07)
    for side in (-1, 1):
        b.box("main", (arm, d + 0.03, h + 0.12), at=(side * (w - arm) / 2, -0.02, h / 2 + 0.12), bevel=0.06)
        seat = (w - 2 * arm) / 2
        b.box("second", (seat - 0.015, d * 0.76, 0.13), at=(side * seat / 2, -d * 0.14, h + 0.05), bevel=0.04)
        at = (side * seat / 2, d / 2 - 0.17, h + 0.2)
        b.box("second", (seat - 0.03, 0.12, 0.24), at=at, rot=(-8, 0, 0), bevel=0.045)
    b.rest(h + 0.115, d * 0.34, (0, -d * 0.2))


@kind("bookshelf", second="books", front=True, portable=False)
def bookshelf(b: Builder, v: Vary) -> None:
    w, d, h, t = v(0.74), v(0.3), v(1.0), 0.07
    b.box("main", (w - 0.02, 0.07, h - 0.02), at=(0, d / 2 - 0.035, h / 2))
    for side in (-1, 1):
        b.box("main", (t, d + 0.01, h), at=(side * (w - t) / 2, 0, h / 2))
    gap = (h - t) / 3
    for level in range(4):
        b.box("main", (w - 0.01, d, t), at=(0, 0, t / 2 + level * gap - (0.005 if level == 3 else 0)))
    wide = (w - 2 * t) / 4
    for level, tall in enumerate(((0.9, 0.72, 0.94, 0.8), (0.8, 0.94, 0.7, 0.88), (0.94, 0.8, 0.9, 0.7))):
        for place, share in enumerate(tall):
            size = (wide - 0.018, d - 0.07, (gap - t) * share + 0.02)
            at = ((place - 1.5) * wide, -0.03, t - 0.01 + level * gap + size[2] / 2)
            b.box("second", size, at=at, bevel=0.012)
    b.rest(h, d * 0.48)


@kind("lamp", second="shade")
def lamp(b: Builder, v: Vary) -> None:
    r, h, wide, tall = v(0.18), v(0.38), v(0.36), v(0.42)
    body = smooth([(r * 0.75, 0.08), (r, 0.08 + h * 0.3), (r * 0.8, h * 0.75), (0.06, h + 0.02)])
    foot = [(0, 0), (r * 1.2, 0), (r * 1.2, 0.06), (r * 1.1, 0.08)]
    b.lathe("main", [*foot, *body, (0.06, h + 0.2), (0, h + 0.2)])
    b.cylinder("second", wide, tall, at=(0, 0, h + 0.08 + tall / 2), top=wide * 0.56, segments=32)
    b.sphere("main", 0.055, at=(0, 0, h + 0.1 + tall))


@kind("wardrobe", second="doors", front=True, portable=False)
def wardrobe(b: Builder, v: Vary) -> None:
    w, d, h = v(0.64), v(0.34), v(0.98)
    _corner_legs(b, "main", w / 2 - 0.07, d / 2 - 0.06, 0.12, 0.1)
    b.box("main", (w, d, h), at=(0, 0, 0.08 + h / 2))
    b.box("main", (w + 0.1, d + 0.1, 0.09), at=(0, 0, h + 0.1), bevel=0.025)
    for side in (-1, 1):
        at = (side * (w / 4 - 0.012), -d / 2, h / 2 + 0.06)
        b.box("second", (w / 2 - 0.06, 0.06, h - 0.14), at=at, bevel=0.012)
        b.sphere("main", 0.036, at=(side * 0.065, -d / 2 - 0.05, h * 0.52), segments=12)
    b.rest(h + 0.145, d * 0.52)
