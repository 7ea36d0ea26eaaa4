# SPDX-License-Identifier: GPL-3.0-or-later
"""Dishes: things to eat and drink from."""

from ..shapes import Builder
from ..vary import Vary
from .registry import kind


@kind("mug", second="handle", patterns=True)
def mug(b: Builder, v: Vary) -> None:
    r, h = v(0.36), v(0.8)
    b.lathe("main", [(0, 0), (r, 0), (r, h), (r - 0.06, h), (r - 0.06, 0.08), (0, 0.08)])
    b.torus("second", v(0.22), 0.055, at=(r - 0.02, 0, h * 0.5), rot=(90, 0, 0))
