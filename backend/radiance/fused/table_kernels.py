# SPDX-License-Identifier: GPL-3.0-or-later
# mypy: allow-untyped-defs, allow-untyped-calls
# (what @triton.jit compiles has Triton's types, not Python's)
"""The way back from a hash grid's features to its table.

Additions to memory are what it costs: 8 corners a level for each sample. But a ray stays in a cell for some
samples, and the next cell shares corners with it. So sums are kept in registers while a ray goes on, in 8
slots: a corner's slot are the parities of its three coordinates, which no other corner of a cell has. What a
slot holds goes to memory when the ray comes to another corner for it.
"""

from __future__ import annotations

import triton
import triton.language as tl

from backend.radiance.fused.field_parts import load_pair, ray_of
from backend.radiance.grid_kernels import add_pair, level_facts, load_vector, slot_entry, slot_slope, slots


@triton.jit(do_not_specialize=["count", "rays"])
def table_backward(
    origin_ptr, direction_ptr, t_ptr, first_ptr, live_ptr, scale_ptr, geometry_ptr,
    d_gradient_ptr, d_feature_ptr, pull_ptr, d_table_ptr,
    count, rays, width, bound, sharpness,
    with_gradient: tl.constexpr, vector: tl.constexpr, tile_width: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Adds the features' gradients to the table's, a level at a time: it then stays in the cache."""
    level = tl.program_id(1)
    scale, resolution, size, offset, hashed = level_facts(scale_ptr, geometry_ptr, level)
    ray = ray_of(tl.arange(0, block), tl.program_id(0), rays, width, tile_width, block)
    known = ray < rays
    first = tl.load(first_ptr + ray, mask=known, other=0)
    live = tl.load(live_ptr + ray, mask=known, other=0)
    to_grid = 0.5 / bound
    ox, oy, oz = load_vector(origin_ptr, ray, known)
    dx, dy, dz = load_vector(direction_ptr, ray, known)
    held = tl.full([block, 8], -1, tl.int32)
    sum_a = tl.zeros([block, 8], tl.float32)
    sum_b = tl.zeros([block, 8], tl.float32)
    for j in range(tl.max(live, 0)):
        active = j < live
        row = first + j
        t = tl.load(t_ptr + row, mask=active, other=0.0)
        x, y, z = (ox + t * dx) * to_grid + 0.5, (oy + t * dy) * to_grid + 0.5, (oz + t * dz) * to_grid + 0.5
        cx, cy, cz, wx, wy, wz, sx, sy, sz = slots(x, y, z, scale, resolution)
        place = level.to(tl.int64) * count + row
        d_a, d_b = load_pair(d_feature_ptr + place, active)
        weight = wx * wy * wz
        to_a, to_b = weight * d_a[:, None], weight * d_b[:, None]
        if with_gradient:
            vx, vy, vz = load_vector(d_gradient_ptr, row, active)
            pull_a, pull_b = load_pair(pull_ptr + place, active)
            slope = slot_slope(vx, vy, vz, wx, wy, wz, sx, sy, sz) * (scale * sharpness * to_grid)
            to_a += slope * pull_a[:, None]
            to_b += slope * pull_b[:, None]
        entry = tl.where(active[:, None], slot_entry(cx, cy, cz, resolution, size, offset, hashed), held)
        left = entry != held
        add_pair(d_table_ptr, held, sum_a, sum_b, left & (held >= 0), vector)
        sum_a = tl.where(left, 0.0, sum_a) + to_a
        sum_b = tl.where(left, 0.0, sum_b) + to_b
        held = entry
    add_pair(d_table_ptr, held, sum_a, sum_b, held >= 0, vector)
