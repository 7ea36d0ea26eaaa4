# SPDX-License-Identifier: GPL-3.0-or-later
"""Buildings; doors are at -Y."""

from ..shapes import Builder
from ..vary import Vary
from .registry import kind


def door(b: Builder, y: float, width: float, height: float, low: float = 0.0) -> None:
    """A brown door in a white frame on a wall at `y`, so that it stands out from walls of any colour."""
    b.box("white", (width, 0.06, height), at=(0, y, low + height / 2))
    b.box("brown", (width - 0.09, 0.09, height - 0.05), at=(0, y, low + (height - 0.05) / 2 + 0.002))


@kind("house", second="roof", front=True, patterns=True, portable=False)
def house(b: Builder, v: Vary) -> None:
    w, d, h, roof = v(0.78), v(0.66), v(0.46), v(0.4)
    b.prism("main", [(-w / 2, 0), (w / 2, 0), (w / 2, h), (0, h + roof - 0.04), (-w / 2, h)], d)
    eave = w / 2 + 0.1
    outline = [
        (-eave, h - 0.08),
        (-eave + 0.08, h - 0.1),
        (0, h + roof - 0.12),
        (eave - 0.08, h - 0.1),
        (eave, h - 0.08),
        (0, h + roof + 0.03),
    ]
    b.prism("second", outline, d + 0.14)
    b.box("main", (0.13, 0.13, 0.3), at=(w * 0.26, d * 0.2, h + roof * 0.5 + 0.1))
    door(b, -d / 2, 0.24, 0.36)
    for side in (-1, 1):
        x = side * w * 0.32
        b.box("white", (0.18, 0.06, 0.18), at=(x, -d / 2, h * 0.58))
        b.box("cyan", (0.11, 0.09, 0.11), at=(x, -d / 2, h * 0.58))


@kind("windmill", second="blades", front=True, portable=False)
def windmill(b: Builder, v: Vary) -> None:
    r, h, blade = v(0.27), v(0.68), v(0.42)
    b.cylinder("main", r, h, at=(0, 0, h / 2), top=0.17, segments=8, rot=(0, 0, 22.5))
    b.sphere("main", 0.19, at=(0, 0, h), scale=(1, 1, 0.85), segments=20)
    b.cylinder("black", 0.055, 0.24, at=(0, -0.24, h), rot=(90, 0, 0), segments=14)
    for turn in range(4):
        a = 45 + 90 * turn
        b.prism(
            "second",
            [(-0.04, 0), (0.04, 0), (0.09, 0.12), (0.09, blade), (-0.09, blade), (-0.09, 0.12)],
            0.075 + 0.001 * turn,
            at=(0, -0.29, h),
            rot=(0, a, 0),
        )
    door(b, -r * 0.9 + 0.02, 0.2, 0.27)


@kind("lighthouse", second="top", patterns=True, portable=False)
def lighthouse(b: Builder, v: Vary) -> None:
    r, h = v(0.22), v(0.66)
    b.cylinder("gray", r + 0.1, 0.09, at=(0, 0, 0.045))
    b.cylinder("main", r, h, at=(0, 0, 0.05 + h / 2), top=r * 0.72, segments=28)
    z = 0.05 + h
    b.cylinder("second", r * 1.1, 0.1, at=(0, 0, z))
    b.cylinder("yellow", r * 0.65, 0.22, at=(0, 0, z + 0.1))
    b.cylinder("second", r * 1.05, 0.2, at=(0, 0, z + 0.25), top=0.03)
    b.sphere("second", 0.05, at=(0, 0, z + 0.35), segments=14)


@kind("tent", front=True, patterns=True, portable=False)
def tent(b: Builder, v: Vary) -> None:
    w, d, h = v(0.46), v(0.85), v(0.62)
    b.prism("main", [(-w, 0), (w, 0), (w, 0.05), (0.04, h), (-0.04, h), (-w, 0.05)], d)
    b.prism("black", [(-w * 0.52, 0.012), (w * 0.52, 0.012), (0, h * 0.8)], 0.1, at=(0, -d / 2 + 0.02, 0))
    for side in (-1, 1):
        flap = [(side * w * 0.62, 0.006), (side * w * 0.36, 0.006), (side * 0.01, h * 0.84)]
        b.prism("white", flap, 0.1, at=(0, -d / 2, 0))


@kind("igloo", second="door", front=True, portable=False)
def igloo(b: Builder, v: Vary) -> None:
    r, tall, n = v(0.46), v(1.0), v(0.26)
    arc = [(1.0, 0.0), (0.98, 0.2), (0.9, 0.42), (0.77, 0.62), (0.6, 0.8), (0.4, 0.92), (0.2, 0.98), (0, 1.0)]
    b.lathe("main", [(0, 0), *[(x * r, z * r * tall) for x, z in arc]])
    arch = [
        (-0.23, 0),
        (0.23, 0),
        (0.23, 0.2),
        (0.19, 0.32),
        (0.1, 0.4),
        (0, 0.42),
        (-0.1, 0.4),
        (-0.19, 0.32),
        (-0.23, 0.2),
    ]
    b.prism("second", arch, n + 0.2, at=(0, -r - n / 2 + 0.2, 0))
    b.prism("black", [(x * 0.62, z * 0.72 + 0.005) for x, z in arch], 0.08, at=(0, -r - n + 0.13, 0))
