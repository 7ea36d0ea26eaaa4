# SPDX-License-Identifier: GPL-3.0-or-later
# mypy: allow-untyped-defs, allow-untyped-calls
# (what @triton.jit compiles has Triton's types, not Python's)
"""The way back through a field's networks: to their weights, and to the features.

The derivation is in forward_kernels.py; from the features on it goes in table_kernels.py.
"""

from __future__ import annotations

import triton
import triton.language as tl

from backend.radiance.fused.field_parts import (
    first_layers,
    first_row,
    last_layers,
    load_pair,
    pair_place,
    sample_of,
    store_pair,
)
from backend.radiance.grid_kernels import (
    all_levels,
    cell,
    corner_entry,
    corner_weight,
    joined,
    load_vector,
    read_pair,
)


@triton.jit(do_not_specialize=["count"])
def features_along(
    origin_ptr, direction_ptr, t_ptr, ray_ptr, first_ptr, live_ptr, table_ptr, scale_ptr, geometry_ptr,
    d_gradient_ptr, along_ptr,
    count, levels, bound, sharpness,
    lp: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """How the features (levels, count) change where the positions move by s times a loss's gradient on g."""
    row = tl.program_id(0) * block + tl.arange(0, block)
    ray, active = sample_of(ray_ptr, first_ptr, live_ptr, row, row < count)
    to_grid = 0.5 / bound
    ox, oy, oz = load_vector(origin_ptr, ray, active)
    dx, dy, dz = load_vector(direction_ptr, ray, active)
    t = tl.load(t_ptr + row, mask=active, other=0.0)
    vx, vy, vz = load_vector(d_gradient_ptr, row, active)
    rate = sharpness * to_grid
    vx, vy, vz = (rate * vx)[:, None], (rate * vy)[:, None], (rate * vz)[:, None]
    scale, resolution, size, offset, hashed, exists = all_levels(scale_ptr, geometry_ptr, levels, lp)
    cx, fx = cell((ox + t * dx) * to_grid + 0.5, scale, resolution)
    cy, fy = cell((oy + t * dy) * to_grid + 0.5, scale, resolution)
    cz, fz = cell((oz + t * dz) * to_grid + 0.5, scale, resolution)
    inside = active[:, None] & exists
    along_a = tl.zeros([block, lp], tl.float32)
    along_b = tl.zeros([block, lp], tl.float32)
    for corner in tl.static_range(8):
        entry = corner_entry(cx, cy, cz, corner, resolution, size, offset, hashed)
        a, b = read_pair(table_ptr, entry, inside, True)
        slope = corner_weight(fx, fy, fz, vx, vy, vz, scale, corner, True)
        along_a += slope * a
        along_b += slope * b
    store_pair(along_ptr + pair_place(row, count, lp), along_a, along_b, inside)


@triton.jit(do_not_specialize=["count"])
def networks_backward(
    ray_ptr, first_ptr, live_ptr,
    first_layer_ptr, last_layer_ptr, density_ptr, colour_ptr, feature_ptr,
    d_density_ptr, d_colour_ptr, d_feature_ptr, pull_ptr, d_first_ptr, d_last_ptr,
    count, levels, multiplier, sharpness,
    with_gradient: tl.constexpr, kind: tl.constexpr,
    lp: tl.constexpr, hp: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Gradients of the networks' weights; and for `table_backward` those of the features (levels, count).

    pull (levels, count): of n by the features, written over what `features_along` left there.
    kind: of numbers in products, bfloat16 if it can be, as gradients need its range. A program takes every so
    many-th block of samples and keeps its sums in registers till the end.
    """
    w_first = first_layers(first_layer_ptr, levels, lp, hp)
    w_last = last_layers(last_layer_ptr, hp)
    w_density = first_row(w_last)
    from_features = w_first.to(kind)
    to_features = tl.trans(from_features)
    to_hidden = w_last.to(kind)
    output = tl.arange(0, 16)[None, :]
    feature = tl.arange(0, 2 * lp)[None, :]
    d_first = tl.zeros([2 * lp, 2 * hp], tl.float32)
    d_last = tl.zeros([16, 2 * hp], tl.float32)
    for start in range(tl.program_id(0) * block, count, tl.num_programs(0) * block):
        row = start + tl.arange(0, block)
        _, active = sample_of(ray_ptr, first_ptr, live_ptr, row, row < count)
        place = feature_ptr + row.to(tl.int64)[:, None] * (levels * 2) + feature
        f = tl.load(place, mask=active[:, None] & (feature < levels * 2), other=0.0)
        h = tl.dot(f, w_first)
        # softplus' = 1 - exp(-softplus), so what was computed need not be again. 0 outside the sphere.
        grown = tl.load(density_ptr + row, mask=active, other=0.0) / multiplier
        rise = tl.where(grown < 1e-3, grown - 0.5 * grown * grown, 1.0 - tl.exp(-grown))
        d_n = tl.load(d_density_ptr + row, mask=active, other=0.0) * rise * (multiplier * sharpness)
        red, green, blue = load_vector(colour_ptr, row, active)
        d_red, d_green, d_blue = load_vector(d_colour_ptr, row, active)
        d_out = tl.where(output == 0, d_n[:, None], 0.0)
        d_out = tl.where(output == 1, (d_red * red * (1.0 - red))[:, None], d_out)
        d_out = tl.where(output == 2, (d_green * green * (1.0 - green))[:, None], d_out)
        d_out = tl.where(output == 3, (d_blue * blue * (1.0 - blue))[:, None], d_out).to(kind)
        d_last += tl.dot(tl.trans(d_out), tl.maximum(h, 0.0).to(kind))
        d_h = tl.where(h > 0, tl.dot(d_out, to_hidden), 0.0).to(kind)
        d_first += tl.dot(tl.trans(f.to(kind)), d_h)
        places = pair_place(row, count, lp)
        inside = active[:, None] & (tl.arange(0, lp)[None, :] < levels)
        d_a, d_b = tl.split(tl.reshape(tl.dot(d_h, to_features), [block, lp, 2]))
        store_pair(d_feature_ptr + places, d_a, d_b, inside)
        if with_gradient:
            along_a, along_b = load_pair(pull_ptr + places, inside)
            along = joined(along_a, along_b, block, lp).to(kind)
            changed = tl.where(h > 0, tl.dot(along, from_features), 0.0).to(kind)
            ones = tl.where((output == 0) & active[:, None], 1.0, 0.0).to(kind)
            d_last += tl.dot(tl.trans(ones), changed)
            pull = tl.where(h > 0, w_density, 0.0).to(kind)
            d_first += tl.dot(tl.trans(along), pull)
            pull_a, pull_b = tl.split(tl.reshape(tl.dot(pull, to_features), [block, lp, 2]))
            store_pair(pull_ptr + places, pull_a, pull_b, inside)

    feature, unit = tl.arange(0, 2 * lp)[:, None], tl.arange(0, 2 * hp)[None, :]
    place = d_first_ptr + unit * (levels * 2) + feature
    tl.atomic_add(place, d_first, mask=feature < levels * 2, sem="relaxed")
    place = d_last_ptr + tl.arange(0, 16)[:, None] * (2 * hp) + unit
    tl.atomic_add(place, d_last, sem="relaxed")
