# SPDX-License-Identifier: GPL-3.0-or-later
"""Furry animals and the like; all of them look to -Y."""

from ..shapes import Builder
from ..vary import Vary
from .faces import capsule, eyes, four
from .registry import kind


@kind("monkey", second="face", front=True)
def monkey(b: Builder, v: Vary) -> None:
    body, r, ear = v(0.22), v(0.26), v(0.13)
    b.sphere("main", body, at=(0, 0.02, body * 1.1), scale=(1, 0.95, 1.1), segments=20)
    head = body * 1.9 + r * 0.75
    b.sphere("main", r, at=(0, -0.02, head), scale=(1.05, 0.95, 1), segments=20)
    b.sphere("second", r * 0.62, at=(0, -r * 0.68, head - r * 0.36), scale=(1.1, 0.75, 0.75), segments=18)
    for side in (-1, 1):
        b.sphere("second", r * 0.45, at=(side * r * 0.36, -r * 0.64, head + r * 0.22), segments=14)
        b.sphere("main", ear, at=(side * (r + 0.08), 0, head + 0.02), scale=(1, 0.5, 1), segments=12)
        b.sphere(
            "second",
            ear * 0.68,
            at=(side * (r + 0.09), -ear * 0.35, head + 0.02),
            scale=(1, 0.5, 1),
            segments=12,
        )
        arm = [
            (side * 0.14, 0, body * 1.75),
            (side * (body + 0.08), -0.06, body * 1.2),
            (side * 0.2, -0.24, body * 0.75),
        ]
        b.tube("main", arm, 0.065)
        b.sphere("main", 0.08, at=arm[-1], segments=10)
        b.sphere("main", 0.12, at=(side * 0.16, -0.17, 0.085), scale=(0.85, 1.4, 0.7), segments=14)
    eyes(b, r * 0.36, -r * 0.98, head + r * 0.26, 0.065)
    b.box("black", (r * 0.5, 0.1, 0.045), at=(0, -r * 1.1, head - r * 0.48), bevel=0.015)
    tail = [
        (0, 0.15, 0.08),
        (0.05, 0.34, 0.08),
        (0.12, 0.46, 0.18),
        (0.16, 0.46, 0.36),
        (0.16, 0.36, 0.46),
        (0.15, 0.28, 0.42),
    ]
    b.tube("main", tail, 0.05)


@kind("cat", second="tail", front=True)
def cat(b: Builder, v: Vary) -> None:
    r, body, n = v(0.23), v(0.2), v(0.3)
    z = 0.26 + body * 0.6
    b.sphere("main", body, at=(0, 0.05, z), scale=(1.0, 1.55, 0.95))
    for x, y in four(body * 0.55, n * 0.7):
        capsule(b, "main", 0.075, 0, z, (x, y + 0.03))
    head = z + 0.2
    b.sphere("main", r, at=(0, -n, head), scale=(1.1, 0.9, 0.95))
    for side in (-1, 1):
        b.cylinder(
            "main",
            0.11,
            0.22,
            at=(side * r * 0.68, -n, head + r * 0.92),
            rot=(0, side * 22, 0),
            top=0.015,
            segments=14,
        )
    eyes(b, r * 0.46, -n - r * 0.72, head + 0.04, 0.075)
    b.sphere("pink", 0.045, at=(0, -n - r * 0.92, head - 0.045), segments=12)
    tail = [
        (0, 0.28, z),
        (0.04, 0.38, z + 0.06),
        (0.12, 0.42, z + 0.22),
        (0.2, 0.38, z + 0.38),
        (0.26, 0.33, z + 0.52),
    ]
    b.tube("second", tail, [0.06, 0.07, 0.075, 0.08, 0.07], segments=12)
    b.sphere("second", 0.072, at=tail[-1], segments=12)


@kind("pig", second="legs", front=True)
def pig(b: Builder, v: Vary) -> None:
    body, r, leg = v(0.33), v(0.24), v(0.17)
    z = leg + body * 0.72
    b.sphere("main", body, at=(0, 0.08, z), scale=(0.95, 1.2, 0.92))
    for x, y in four(body * 0.5, 0.2):
        b.cylinder("second", 0.095, z, at=(x, y + 0.08, z / 2), segments=14)
    y = -0.08 - body * 0.8
    b.sphere("main", r, at=(0, y, z + 0.1))
    b.cylinder("main", 0.13, 0.15, at=(0, y - r - 0.01, z + 0.05), rot=(90, 0, 0), segments=18)
    for side in (-1, 1):
        b.sphere(
            "black", 0.035, at=(side * 0.05, y - r - 0.085, z + 0.05), scale=(0.8, 0.5, 1.1), segments=10
        )
        b.sphere(
            "main",
            0.13,
            at=(side * r * 0.85, y - 0.02, z + 0.1 + r * 0.72),
            scale=(0.55, 0.42, 1.05),
            rot=(25, side * 60, 0),
            segments=14,
        )
    eyes(b, r * 0.48, y - r * 0.7, z + 0.2, 0.07)
    b.torus("main", 0.06, 0.033, at=(0, 0.1 + body * 1.2, z + 0.08), rot=(0, 70, 0))


@kind("rabbit", second="ears", front=True)
def rabbit(b: Builder, v: Vary) -> None:
    body, r, ear = v(0.25), v(0.2), v(0.2)
    b.sphere("main", body, at=(0, 0.03, body), scale=(0.95, 1.05, 1.0))
    head = body * 1.8 + r * 0.5
    b.sphere("main", r, at=(0, -0.06, head), scale=(1.05, 0.95, 0.95))
    for side in (-1, 1):
        b.sphere(
            "second",
            ear,
            at=(side * 0.12, -0.02, head + r * 0.7 + ear * 0.75),
            scale=(0.42, 0.34, 1.15),
            rot=(0, side * 13, 0),
            segments=18,
        )
        b.sphere("main", 0.11, at=(side * 0.14, -0.2, 0.07), scale=(0.8, 1.4, 0.62), segments=14)
        capsule(b, "main", 0.065, 0.12, 0.4, (side * 0.11, -body * 0.85))
    eyes(b, 0.1, -0.06 - r * 0.7, head + 0.04, 0.07)
    b.sphere("pink", 0.045, at=(0, -0.06 - r * 0.95, head - 0.05), segments=12)
    b.sphere("white", 0.11, at=(0, 0.03 + body * 1.1, 0.16), segments=14)


@kind("elephant", second="ears", front=True)
def elephant(b: Builder, v: Vary) -> None:
    body, r, leg = v(0.3), v(0.22), v(0.24)
    z = leg + body * 0.7
    b.sphere("main", body, at=(0, 0.12, z), scale=(0.95, 1.2, 0.95))
    for x, y in four(body * 0.52, 0.19):
        b.cylinder("main", 0.11, z, at=(x, y + 0.12, z / 2), segments=14)
    y, head = -0.24, z + 0.16
    b.sphere("main", r, at=(0, y, head))
    trunk = [
        (0, -0.1, -0.02),
        (0, -0.24, -0.08),
        (0, -0.29, -0.2),
        (0, -0.29, -0.34),
        (0, -0.36, -0.43),
        (0, -0.45, -0.42),
    ]
    b.tube(
        "main",
        [(x, y + dy, head + dz) for x, dy, dz in trunk],
        [0.11, 0.1, 0.085, 0.075, 0.07, 0.065],
        segments=14,
    )
    for side in (-1, 1):
        b.sphere(
            "second",
            0.22,
            at=(side * (r + 0.1), y + 0.07, head + 0.03),
            scale=(1, 0.25, 1.1),
            rot=(0, 0, side * 20),
            segments=20,
        )
        b.tube(
            "white",
            [
                (side * 0.12, y - 0.12, head - 0.12),
                (side * 0.14, y - 0.28, head - 0.18),
                (side * 0.14, y - 0.36, head - 0.12),
            ],
            [0.045, 0.04, 0.02],
        )
    eyes(b, 0.115, y - r * 0.72, head + 0.1, 0.068)
