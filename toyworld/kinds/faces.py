# SPDX-License-Identifier: GPL-3.0-or-later
"""Faces and paired limbs that several kinds share."""

import math
from collections.abc import Iterator

from ..shapes import Builder


def eyes(b: Builder, x: float, y: float, z: float, r: float, out: float = 0.0) -> None:
    """Two white eyeballs, radius `r` at (±x, y, z) with black pupils to -Y; `out` moves the pupils apart."""
    for side in (-1, 1):
        b.sphere("white", r, at=(side * x, y, z), segments=16)
        b.sphere("black", r * 0.62, at=(side * (x + out), y - r * 0.62, z), segments=12)


def four(x: float, y: float) -> Iterator[tuple[float, float]]:
    """The corners (±x, ±y): places of four legs or wheels."""
    for sx in (-1, 1):
        for sy in (-1, 1):
            yield sx * x, sy * y


def capsule(
    b: Builder, role: str, r: float, low: float, high: float, at: tuple[float, float] = (0, 0)
) -> None:
    """An upright rod with round ends from z = `low` to z = `high`."""
    turns = [math.radians(a) for a in (-90, -60, -30, 0, 30, 60, 90)]
    cap = [(r * math.cos(a), r * math.sin(a)) for a in turns]
    cap[0], cap[-1] = (0, -r), (0, r)
    profile = [(x, low + r + z) for x, z in cap[:4]] + [(x, high - r + z) for x, z in cap[3:]]
    b.lathe(role, profile, at=(*at, 0), segments=16)
