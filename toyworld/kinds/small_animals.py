# SPDX-License-Identifier: GPL-3.0-or-later
"""Birds, fish and shelled animals; all of them look to -Y."""

from ..shapes import Builder
from ..vary import Vary
from .faces import eyes, four
from .registry import kind


@kind("duck", second="beak", front=True)
def duck(b: Builder, v: Vary) -> None:
    body, r = v(0.31), v(0.22)
    b.sphere("main", body, at=(0, 0.06, body * 0.85), scale=(0.9, 1.3, 0.85))
    b.tube(
        "main",
        [(0, 0.3, body), (0, 0.44, body + 0.12), (0, 0.52, body + 0.26)],
        [0.16, 0.1, 0.03],
        segments=14,
    )
    for side in (-1, 1):
        b.sphere(
            "main",
            0.2,
            at=(side * body * 0.82, 0.1, body),
            scale=(0.45, 1.15, 0.7),
            rot=(15, 0, 0),
            segments=18,
        )
    head = body * 1.5 + 0.25
    b.cylinder("main", r * 0.75, 0.3, at=(0, -0.18, head - 0.2), segments=18)
    b.sphere("main", r, at=(0, -0.18, head))
    b.sphere("second", 0.15, at=(0, -0.18 - r, head - 0.05), scale=(1.05, 1.35, 0.5), segments=18)
    eyes(b, r * 0.52, -0.18 - r * 0.68, head + 0.09, 0.072)


@kind("penguin", second="wings", front=True)
def penguin(b: Builder, v: Vary) -> None:
    r, h = v(0.28), v(0.95)
    shape = [
        (0, 0.04),
        (0.6, 0.05),
        (0.95, 0.15),
        (1.0, 0.3),
        (0.92, 0.5),
        (0.78, 0.68),
        (0.7, 0.8),
        (0.52, 0.92),
        (0.25, 0.985),
        (0, 1),
    ]
    b.lathe("main", [(x * r, z * h) for x, z in shape])
    b.sphere("white", r, at=(0, -r * 0.3, h * 0.33), scale=(0.78, 0.8, 1.0))
    eyes(b, 0.095, -r * 0.62, h * 0.82, 0.075)
    b.cylinder(
        "orange", 0.075, 0.2, at=(0, -r * 0.72 - 0.06, h * 0.72), rot=(90, 0, 0), top=0.015, segments=14
    )
    for side in (-1, 1):
        b.sphere(
            "second",
            0.26,
            at=(side * (r + 0.07), 0, h * 0.44),
            scale=(0.26, 0.5, 1),
            rot=(0, -side * 24, 0),
            segments=18,
        )
        b.sphere("orange", 0.13, at=(side * 0.13, -r * 0.55, 0.05), scale=(0.8, 1.3, 0.4), segments=14)


@kind("snail", second="shell", front=True)
def snail(b: Builder, v: Vary) -> None:
    r, n, w = v(0.3), v(0.5), v(0.13)
    path = [
        (0, n, 0.05),
        (0, n * 0.6, 0.09),
        (0, 0, 0.11),
        (0, -n * 0.55, 0.13),
        (0, -n * 0.85, 0.22),
        (0, -n * 0.92, 0.36),
    ]
    b.tube("main", path, [0.035, 0.08, 0.105, w * 0.95, w, w * 0.9], segments=16)
    b.sphere("main", w * 1.12, at=(0, -n * 0.93, 0.4), segments=18)
    side = [
        (0, -0.2),
        (0.5, -0.19),
        (0.8, -0.16),
        (0.97, -0.08),
        (1, 0),
        (0.97, 0.08),
        (0.8, 0.16),
        (0.5, 0.19),
        (0, 0.2),
    ]
    at = (0, 0.1, 0.1 + r)
    b.lathe("second", [(x * r, z) for x, z in side], at=at, rot=(0, 90, 0), segments=24)
    for s in (-1, 1):
        b.torus("second", r * 0.5, 0.05, at=(s * 0.19, 0.1, 0.1 + r), rot=(0, 90, 0))
        b.sphere("second", 0.07, at=(s * 0.2, 0.1, 0.1 + r), segments=12)
        b.tube("main", [(s * 0.05, -n * 0.93, 0.42), (s * 0.12, -n * 0.97, 0.64)], 0.038)
    eyes(b, 0.125, -n * 0.97, 0.67, 0.078)


@kind("turtle", second="shell", front=True)
def turtle(b: Builder, v: Vary) -> None:
    r, tall, head = v(0.38), v(0.36), v(0.16)
    arc = [
        (1.08, 0.0),
        (1.1, 0.1),
        (0.98, 0.22),
        (0.92, 0.42),
        (0.77, 0.68),
        (0.55, 0.87),
        (0.28, 0.97),
        (0, 1.0),
    ]
    b.lathe("second", [(0, 0.13), *[(x * r, 0.13 + z * tall) for x, z in arc]], at=(0, 0.06, 0))
    b.sphere("main", r * 0.9, at=(0, 0.06, 0.16), scale=(1, 1, 0.28))
    for x, y in four(r * 0.78, r * 0.74):
        b.sphere("main", 0.14, at=(x, y + 0.06, 0.11), scale=(0.9, 0.9, 0.8), segments=14)
    y = 0.06 - r - 0.14
    b.tube("main", [(0, y + 0.24, 0.2), (0, y, 0.3)], 0.1, segments=14)
    b.sphere("main", head, at=(0, y, 0.34), segments=20)
    eyes(b, head * 0.55, y - head * 0.68, 0.42, 0.068)
    b.tube("main", [(0, 0.06 + r * 0.8, 0.14), (0, 0.06 + r + 0.16, 0.1)], [0.09, 0.03])


@kind("fish", second="fins", front=True)
def fish(b: Builder, v: Vary) -> None:
    r, n = v(0.29), v(0.38)
    b.sphere("main", r, at=(0, -0.08, r), scale=(0.7, n / r, 1.0))
    tail = [
        (n - 0.22, r - 0.07),
        (n + 0.16, r * 0.05),
        (n + 0.1, r),
        (n + 0.16, r * 1.95),
        (n - 0.22, r + 0.07),
    ]
    b.prism("second", tail, 0.1, rot=(0, 0, 90))
    b.prism(
        "second",
        [(-0.24, r * 1.7), (0.16, r * 1.7), (0.22, r * 2 + 0.1), (0.0, r * 2 + 0.16)],
        0.1,
        rot=(0, 0, 90),
    )
    for side in (-1, 1):
        b.sphere(
            "second",
            0.17,
            at=(side * (r * 0.7 + 0.07), 0.0, r * 0.75),
            scale=(1, 0.7, 0.3),
            rot=(0, side * 25, side * 30),
            segments=16,
        )
    eyes(b, r * 0.42, -0.08 - n * 0.62, r * 1.3, 0.085)
    b.torus("pink", 0.065, 0.042, at=(0, -0.08 - n * 0.96, r * 0.85), rot=(90, 0, 0))
