# SPDX-License-Identifier: GPL-3.0-or-later
# mypy: allow-untyped-defs, allow-untyped-calls
# (what @triton.jit compiles has Triton's types, not Python's)
"""Pieces of a field that its kernels share: rays and samples, pairs of gradients, the networks' layers.

The two networks are computed as one: their hidden units side by side, and output layers that have zeros
where a unit is the other network's. Few large products keep tensor cores busier than many small ones.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def ray_of(lane, tile, rays, width, tile_width: tl.constexpr, block: tl.constexpr):
    """The tile's rays: a rectangle of the picture if `width` (its pixels a row) is given, else a run."""
    if tile_width > 0:
        height: tl.constexpr = block // tile_width
        across = width // tile_width
        row = (tile // across) * height + lane // tile_width
        return row * width + (tile % across) * tile_width + lane % tile_width
    else:
        return tile * block + lane


@triton.jit
def sample_of(ray_ptr, first_ptr, live_ptr, row, inside):
    """Rays of the samples `row`, and which of these were evaluated."""
    ray = tl.load(ray_ptr + row, mask=inside, other=0)
    active = inside & (row - tl.load(first_ptr + ray) < tl.load(live_ptr + ray))
    return ray, active


@triton.jit
def pair_place(row, count, lp: tl.constexpr):
    """Where the levels' pairs of the samples `row` (block,) are in an array (levels, count); (block, lp)."""
    return tl.arange(0, lp)[None, :].to(tl.int64) * count + row[:, None]


@triton.jit
def store_pair(place, a, b, inside):
    """Two gradients as bfloat16 in one int32: range matters more than digits in a sum."""
    low = a.to(tl.bfloat16).to(tl.uint16, bitcast=True).to(tl.uint32)
    high = b.to(tl.bfloat16).to(tl.uint16, bitcast=True).to(tl.uint32)
    tl.store(place, (low | (high << 16)).to(tl.int32, bitcast=True), mask=inside)


@triton.jit
def load_pair(place, inside):
    bits = tl.load(place, mask=inside, other=0)
    low = (bits & 0xFFFF).to(tl.uint16).to(tl.bfloat16, bitcast=True)
    high = ((bits >> 16) & 0xFFFF).to(tl.uint16).to(tl.bfloat16, bitcast=True)
    return low.to(tl.float32), high.to(tl.float32)


@triton.jit
def first_layers(weight_ptr, levels, lp: tl.constexpr, hp: tl.constexpr):
    """Both networks' first layers, (2 lp, 2 hp), from `Networks.first`, (2 hp, 2 levels)."""
    feature, unit = tl.arange(0, 2 * lp)[:, None], tl.arange(0, 2 * hp)[None, :]
    return tl.load(weight_ptr + unit * (levels * 2) + feature, mask=feature < levels * 2, other=0.0)


@triton.jit
def last_layers(weight_ptr, hp: tl.constexpr):
    """Both networks' last layers, (16, 2 hp): row 0 the density's, 1 to 3 the colour's."""
    output, unit = tl.arange(0, 16)[:, None], tl.arange(0, 2 * hp)[None, :]
    return tl.load(weight_ptr + output * (2 * hp) + unit)


@triton.jit
def column(values, index: tl.constexpr):
    """A column of values (block, 16), (block,)."""
    return tl.sum(tl.where(tl.arange(0, 16)[None, :] == index, values, 0.0), 1)


@triton.jit
def first_row(matrix):
    """The first row of a matrix (16, n), (1, n)."""
    index = tl.arange(0, 16)[:, None]
    return tl.sum(tl.where(index == 0, matrix.to(tl.float32), 0.0), 0)[None, :]


@triton.jit
def sigmoid(x):
    return 1.0 / (1.0 + tl.exp(-x))
