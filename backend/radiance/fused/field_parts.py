# SPDX-License-Identifier: GPL-3.0-or-later
# mypy: allow-untyped-defs, allow-untyped-calls
# (what @triton.jit compiles has Triton's types, not Python's)
"""Pieces of a field that its kernels share both ways: all levels at once, and the networks' layers."""

from __future__ import annotations

import triton
import triton.language as tl

from backend.radiance.grid_kernels import cell_along


@triton.jit
def all_levels(scale_ptr, geometry_ptr, levels, padded: tl.constexpr):
    """Facts of all levels as rows (1, padded): scale, resolution, size, offset, hashed; and which exist."""
    level = tl.arange(0, padded)
    known = level < levels
    facts = geometry_ptr + level * 4
    scale = tl.load(scale_ptr + level, mask=known, other=0.0)
    resolution = tl.load(facts, mask=known, other=1)
    size = tl.load(facts + 1, mask=known, other=1)
    offset = tl.load(facts + 2, mask=known, other=0)
    hashed = tl.load(facts + 3, mask=known, other=0)
    return (
        scale[None, :],
        resolution[None, :],
        size[None, :],
        offset[None, :],
        hashed[None, :],
        known[None, :],
    )


@triton.jit
def cell(x, scale, resolution):
    """Lowest corner and fraction along one axis in all levels, (block, levels) each; x (block,) in 0..1."""
    return cell_along(x[:, None], scale, resolution)


@triton.jit
def first_layer(weight_ptr, feature: tl.constexpr, levels, hidden, lp: tl.constexpr, hp: tl.constexpr):
    """Rows of W1 for the first or second feature of each level, (lp, hp)."""
    level, unit = tl.arange(0, lp)[:, None], tl.arange(0, hp)[None, :]
    place = unit * (levels * 2) + level * 2 + feature
    return tl.load(weight_ptr + place, mask=(level < levels) & (unit < hidden), other=0.0)


@triton.jit
def last_layer(weight_ptr, row: tl.constexpr, hidden, hp: tl.constexpr):
    """A row of an output layer, (1, hp)."""
    unit = tl.arange(0, hp)
    return tl.load(weight_ptr + row * hidden + unit, mask=unit < hidden, other=0.0)[None, :]


@triton.jit
def hidden_units(f_a, f_b, w_a, w_b):
    """relu(f W1)."""
    h = tl.dot(f_a, w_a) + tl.dot(f_b, w_b)
    return tl.where(h > 0, h, 0.0)


@triton.jit
def sigmoid(x):
    return 1.0 / (1.0 + tl.exp(-x))
