# SPDX-License-Identifier: GPL-3.0-or-later
"""Dishes: things to eat and drink from."""

from ..curves import smooth
from ..shapes import Builder
from ..vary import Vary
from .registry import kind


@kind("mug", second="handle", patterns=True)
def mug(b: Builder, v: Vary) -> None:
    r, h = v(0.36), v(0.8)
    b.lathe("main", [(0, 0), (r, 0), (r, h), (r - 0.06, h), (r - 0.06, 0.08), (0, 0.08)])
    b.torus("second", v(0.24), 0.058, at=(r - 0.03, 0, h * 0.5), rot=(90, 90, 0), arc=180)


@kind("teapot", second="lid", patterns=True)
def teapot(b: Builder, v: Vary) -> None:
    r, h = v(0.36), v(0.52)
    shape = smooth([(0.6, 0), (0.85, 0.15), (1.0, 0.42), (0.95, 0.66), (0.78, 0.87), (0.6, 0.97)], 2)
    b.lathe("main", [(0, 0), *((r * x, h * z) for x, z in shape), (0, h * 0.97)])
    dome = smooth([(r * 0.7, h + 0.03), (r * 0.4, h + 0.1), (0, h + 0.12)])
    b.lathe("second", [(0, h * 0.9), (r * 0.74, h * 0.93), *dome])
    b.sphere("second", 0.075, at=(0, 0, h + 0.16), segments=16)
    spout = [(r * 0.75, 0, h * 0.35), (r + 0.14, 0, h * 0.5), (r + 0.2, 0, h * 0.78), (r + 0.3, 0, h * 0.98)]
    b.tube("main", spout, [0.12, 0.09, 0.068, 0.062], segments=14)
    b.torus("main", h * 0.34, 0.058, at=(-r - 0.02, 0, h * 0.54), rot=(90, 0, 0))


@kind("bottle", second="cap", patterns=True)
def bottle(b: Builder, v: Vary) -> None:
    r, h, neck = v(0.2), v(0.5), v(0.085)
    shoulder = smooth([(r, h), (r * 0.85, h + 0.09), (neck * 1.1, h + 0.22), (neck, h + 0.36)])
    b.lathe("main", [(0, 0), (r * 0.92, 0), (r, 0.03), *shoulder, (0, h + 0.36)])
    b.cylinder("second", neck + 0.04, 0.17, at=(0, 0, h + 0.4))


@kind("bowl", patterns=True)
def bowl(b: Builder, v: Vary) -> None:
    r, h = v(0.48), v(0.42)
    outside = smooth([(r * 0.42, 0.06), (r * 0.7, 0.12), (r * 0.9, h * 0.6), (r, h)])
    inside = smooth([(r - 0.075, h), (r * 0.9 - 0.08, h * 0.62), (r * 0.55, 0.19), (0, 0.14)])
    b.lathe("main", [(0, 0), (r * 0.42, 0), *outside, *inside])


@kind("goblet", second="stem")
def goblet(b: Builder, v: Vary) -> None:
    r, h, stem = v(0.28), v(0.46), v(0.4)
    foot = smooth([(0.26, 0.05), (0.12, 0.1), (0.06, 0.2), (0.06, stem + 0.04)])
    b.lathe("second", [(0, 0), (0.27, 0), *foot, (0, stem + 0.04)])
    b.sphere("second", 0.1, at=(0, 0, stem * 0.62), scale=(1, 1, 0.8), segments=16)
    outside = smooth([(0.1, stem), (r * 0.75, stem + h * 0.2), (r * 0.98, stem + h * 0.5), (r, stem + h)])
    low = stem + h * 0.22
    inside = [(r - 0.065, stem + h), (r - 0.08, stem + h * 0.52), (r * 0.4, low + 0.02), (0, low)]
    b.lathe("main", [(0, stem), *outside, *inside])


@kind("vase", second="flowers", patterns=True)
def vase(b: Builder, v: Vary) -> None:
    r, h, stalk = v(0.24), v(0.52), v(0.3)
    outside = smooth([(0.62, 0), (0.95, 0.25), (1.0, 0.42), (0.8, 0.66), (0.52, 0.84), (0.68, 1.0)])
    inside = [(0.4, 1.0), (0.28, 0.8), (0, 0.7)]
    b.lathe("main", [(0, 0), *((r * x, h * z) for x, z in [*outside, *inside])])
    for x, y, up in ((-0.19, 0.09, 0.9), (0.19, 0.09, 0.9), (0, -0.17, 0.85), (0, 0.04, 1.25)):
        top = (x, y, h + stalk * up)
        stalk_path = [(x * 0.2, y * 0.2, h * 0.75), (x * 0.35, y * 0.35, h + 0.03), top]
        b.tube("green", stalk_path, 0.032, segments=8)
        b.sphere("second", 0.13, at=top, scale=(1, 1, 0.9), segments=14)


@kind("pan", second="handle")
def pan(b: Builder, v: Vary) -> None:
    r, h, length = v(0.36), v(0.2), v(0.42)
    x = -0.22
    outside, inside = [(0, 0), (r * 0.86, 0), (r, h)], [(r - 0.07, h), (r * 0.86 - 0.065, 0.075), (0, 0.075)]
    b.lathe("main", [*outside, *inside], at=(x, 0, 0))
    path = [(x + r - 0.05, 0, h * 0.7), (x + r + 0.12, 0, h), (x + r + length, 0, h + 0.07)]
    b.tube("second", path, [0.05, 0.055, 0.065])
    b.sphere("second", 0.065, at=path[-1], segments=12)


@kind("candle", second="flame", patterns=True)
def candle(b: Builder, v: Vary) -> None:
    r, h = v(0.17), v(0.56)
    b.lathe("main", [(0, 0), (0.28, 0), (0.35, 0.09), (0.28, 0.09), (0.25, 0.06), (0, 0.06)])
    b.torus("main", 0.1, 0.038, at=(0.4, 0, 0.14), rot=(90, 0, 0))
    b.lathe("main", [(0, 0.02), (r, 0.02), (r, h - 0.02), (r * 0.85, h), (0, h)])
    drop = smooth([(0.05, 0), (0.11, 0.06), (0.125, 0.13), (0.09, 0.23), (0.04, 0.32), (0, 0.37)], 2)
    b.lathe("second", [(0, -0.03), *drop], at=(0, 0, h))
