# SPDX-License-Identifier: GPL-3.0-or-later
# mypy: allow-untyped-defs, allow-untyped-calls
# (what @triton.jit compiles has Triton's types, not Python's)
"""What kernels must know of a hash grid: levels, cells, corners, and entries of two features."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def level_facts(scale_ptr, geometry_ptr, level):
    """A level's facts, in the order of `HashGrid.geometry` after the scale."""
    facts = geometry_ptr + level * 4
    return (
        tl.load(scale_ptr + level),
        tl.load(facts),
        tl.load(facts + 1),
        tl.load(facts + 2),
        tl.load(facts + 3),
    )


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
def _mixed(x, y, z):
    """A corner's hash; see `hash_grid.entry_index`."""
    return x.to(tl.uint32) ^ (y.to(tl.uint32) * 2654435761) ^ (z.to(tl.uint32) * 805459861)


@triton.jit
def _plain(x, y, z, resolution, size):
    """A corner's entry in a dense level, which is overrun by less than its size: no modulo is needed."""
    plain = x + (y + z * resolution) * resolution
    return tl.where(plain >= size, plain - size, plain)


@triton.jit
def corner_entry(cx, cy, cz, corner: tl.constexpr, resolution, size, offset, hashed):
    """Table entry of one of the 8 corners at the lowest one (cx, cy, cz).

    A hashed level's size is a power of two, so no modulo is needed there either.
    """
    cx, cy, cz = cx + (corner & 1), cy + ((corner >> 1) & 1), cz + (corner >> 2)
    mixed, plain = _mixed(cx, cy, cz), _plain(cx, cy, cz, resolution, size)
    return tl.where(hashed != 0, mixed.to(tl.int32) & (size - 1), plain) + offset


@triton.jit
def cell_along(x, scale, resolution):
    """Lowest corner, clamped into the level's memory, and fraction along one axis; x in 0..1."""
    place = x * scale + 0.5
    low = tl.floor(place)
    corner = tl.minimum(tl.maximum(low.to(tl.int32), 0), resolution - 1)
    return corner, place - low


@triton.jit
def cell(x, scale, resolution):
    """Lowest corner and fraction along one axis in all levels, (block, levels) each; x (block,) in 0..1."""
    return cell_along(x[:, None], scale, resolution)


@triton.jit
def _slot_along(x, parity, scale, resolution):
    """Along one axis: each slot's coordinate, its weight, and the weight's sign in a derivative."""
    low, fraction = cell_along(x, scale, resolution)
    upper = (low ^ parity) & 1
    weight = tl.where(upper != 0, fraction, 1.0 - fraction)
    return low + upper, weight, tl.where(upper != 0, 1.0, -1.0)


@triton.jit
def slots(x, y, z, scale, resolution):
    """The 8 corners around each position (block,) in 0..1, each in the slot of its coordinates' parities.

    Coordinates, and for `slot_slope` weights and signs, along each axis; (block, 8).
    """
    slot = tl.arange(0, 8)[None, :]
    cx, wx, sx = _slot_along(x[:, None], slot & 1, scale, resolution)
    cy, wy, sy = _slot_along(y[:, None], (slot >> 1) & 1, scale, resolution)
    cz, wz, sz = _slot_along(z[:, None], slot >> 2, scale, resolution)
    return cx, cy, cz, wx, wy, wz, sx, sy, sz


@triton.jit
def slot_entry(cx, cy, cz, resolution, size, offset, hashed):
    """Table entries of the slots' corners, in a level that the whole program works on; see `corner_entry`."""
    if hashed != 0:
        entry = _mixed(cx, cy, cz).to(tl.int32) & (size - 1)
    else:
        entry = _plain(cx, cy, cz, resolution, size)
    return entry + offset


@triton.jit
def slot_slope(vx, vy, vz, wx, wy, wz, sx, sy, sz):
    """Derivative of the slots' weights along v (block,), per unit of a cell."""
    return vx[:, None] * sx * wy * wz + vy[:, None] * sy * wx * wz + vz[:, None] * sz * wx * wy


@triton.jit
def _side(fraction, bit: tl.constexpr):
    """Weight of one axis: the fraction for the upper corner, the rest for the lower."""
    if bit:
        return fraction
    else:
        return 1.0 - fraction


@triton.jit
def corner_weight(fx, fy, fz, vx, vy, vz, scale, corner: tl.constexpr, along: tl.constexpr):
    """w_c, or its derivative along v."""
    wx, wy, wz = _side(fx, corner & 1), _side(fy, (corner >> 1) & 1), _side(fz, corner >> 2)
    if along:
        sx: tl.constexpr = 1.0 if corner & 1 else -1.0
        sy: tl.constexpr = 1.0 if (corner >> 1) & 1 else -1.0
        sz: tl.constexpr = 1.0 if corner >> 2 else -1.0
        return scale * (vx * sx * wy * wz + vy * sy * wx * wz + vz * sz * wx * wy)
    else:
        return wx * wy * wz


@triton.jit
def read_pair(table_ptr, entry, inside, half: tl.constexpr):
    """Both features of a table entry by one load: two float16 as an int32, or two float32 as an int64."""
    if half:
        bits = tl.load(table_ptr + entry, mask=inside, other=0)
        low = (bits & 0xFFFF).to(tl.uint16).to(tl.float16, bitcast=True)
        high = ((bits >> 16) & 0xFFFF).to(tl.uint16).to(tl.float16, bitcast=True)
        return low.to(tl.float32), high.to(tl.float32)
    else:
        bits = tl.load(table_ptr + entry, mask=inside, other=0)
        low = (bits & 0xFFFFFFFF).to(tl.uint32).to(tl.float32, bitcast=True)
        high = ((bits >> 32) & 0xFFFFFFFF).to(tl.uint32).to(tl.float32, bitcast=True)
        return low, high


@triton.jit
def joined(a, b, block: tl.constexpr, lp: tl.constexpr):
    """First and second feature of each level (block, lp) as features in their order, (block, 2 lp)."""
    return tl.reshape(tl.join(a, b), [block, 2 * lp])


@triton.jit
def add_pair(gradient_ptr, entry, a, b, inside, vector: tl.constexpr):
    """Adds to both features of a table entry: one instruction where the card has it (Hopper and later).

    Of a program that has at least as many entries as threads: with fewer, `vector` would add copies.
    """
    place = gradient_ptr + entry * 2
    if vector:
        tl.inline_asm_elementwise(
            "{ .reg .pred p; setp.ne.b32 p, $4, 0; @p red.global.add.v2.f32 [$1], {$2, $3}; mov.b32 $0, 0; }",
            "=r,l,f,f,r",
            [place.to(tl.int64), a, b, inside.to(tl.int32)],
            dtype=tl.int32,
            is_pure=False,
            pack=1,
        )
    else:
        tl.atomic_add(place, a, mask=inside, sem="relaxed")
        tl.atomic_add(place + 1, b, mask=inside, sem="relaxed")


@triton.jit
def load_vector(base_ptr, row, inside):
    """A row of an array of three numbers each."""
    a = tl.load(base_ptr + row * 3, mask=inside, other=0.0)
    b = tl.load(base_ptr + row * 3 + 1, mask=inside, other=0.0)
    c = tl.load(base_ptr + row * 3 + 2, mask=inside, other=0.0)
    return a, b, c
