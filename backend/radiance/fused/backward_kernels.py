# SPDX-License-Identifier: GPL-3.0-or-later
# mypy: allow-untyped-defs, allow-untyped-calls
# (what @triton.jit compiles has Triton's types, not Python's)
"""The way back through a field: to the networks' weights and the features, and from these to the table.

The derivation is in forward_kernels.py.
"""

from __future__ import annotations

import triton
import triton.language as tl

from backend.radiance.fused.field_parts import (
    all_levels,
    cell,
    first_layer,
    hidden_units,
    last_layer,
    sigmoid,
)
from backend.radiance.grid_kernels import (
    add_pair,
    cell_along,
    corner_entry,
    corner_weight,
    level_facts,
    load_vector,
    read_pair,
)


@triton.jit
def _add_first_layer(
    weight_ptr, feature: tl.constexpr, value, levels, hidden, lp: tl.constexpr, hp: tl.constexpr
):
    level, unit = tl.arange(0, lp)[:, None], tl.arange(0, hp)[None, :]
    place = unit * (levels * 2) + level * 2 + feature
    tl.atomic_add(weight_ptr + place, value, mask=(level < levels) & (unit < hidden), sem="relaxed")


@triton.jit
def _place(origin_ptr, direction_ptr, t_ptr, ray_ptr, first_ptr, live_ptr, row, inside):
    """Positions of the samples `row`, and which of them were evaluated."""
    ray = tl.load(ray_ptr + row, mask=inside, other=0)
    active = inside & (row - tl.load(first_ptr + ray) < tl.load(live_ptr + ray))
    t = tl.load(t_ptr + row, mask=inside, other=0.0)
    ox, oy, oz = load_vector(origin_ptr, ray, inside)
    dx, dy, dz = load_vector(direction_ptr, ray, inside)
    return ox + t * dx, oy + t * dy, oz + t * dz, active


@triton.jit
def _store_pair(pair_ptr, row, level, count, a, b, inside):
    """Two gradients as bfloat16 in one int32 of (levels, count): range matters more than digits in a sum."""
    low = a.to(tl.bfloat16).to(tl.uint16, bitcast=True).to(tl.uint32)
    high = b.to(tl.bfloat16).to(tl.uint16, bitcast=True).to(tl.uint32)
    place = pair_ptr + level.to(tl.int64) * count + row
    tl.store(place, (low | (high << 16)).to(tl.int32, bitcast=True), mask=inside)


@triton.jit
def _dot16(a, b, exact: tl.constexpr):
    """A product for gradients: bfloat16 halves the registers its operands need."""
    if exact:
        return tl.dot(a, b)
    else:
        return tl.dot(a.to(tl.bfloat16), b.to(tl.bfloat16))


@triton.jit
def networks_backward(
    origin_ptr, direction_ptr, t_ptr, ray_ptr, first_ptr, live_ptr, table_ptr, scale_ptr, geometry_ptr,
    density1_ptr, density2_ptr, colour1_ptr, colour2_ptr,
    d_density_ptr, d_colour_ptr, d_gradient_ptr, feature_ptr, pull_ptr,
    d_density1_ptr, d_density2_ptr, d_colour1_ptr, d_colour2_ptr,
    count, levels, hidden,
    bound, multiplier, sharpness, blob_scale, blob_radius,
    with_gradient: tl.constexpr, exact: tl.constexpr,
    lp: tl.constexpr, hp: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Gradients of the networks' weights; and for `table_backward` those of the features (levels, count).

    pull (levels, count): of n by the features. A program takes every so many-th block of samples and keeps
    its sums in registers till the end.
    """
    scale, resolution, size, offset, hashed, exists = all_levels(scale_ptr, geometry_ptr, levels, lp)
    level = tl.arange(0, lp)[None, :]
    w_density = last_layer(density2_ptr, 0, hidden, hp)
    w_red = last_layer(colour2_ptr, 0, hidden, hp)
    w_green = last_layer(colour2_ptr, 1, hidden, hp)
    w_blue = last_layer(colour2_ptr, 2, hidden, hp)
    output = tl.arange(0, 16)[None, :]
    d_density_a = tl.zeros([lp, hp], tl.float32)
    d_density_b = tl.zeros([lp, hp], tl.float32)
    d_colour_a = tl.zeros([lp, hp], tl.float32)
    d_colour_b = tl.zeros([lp, hp], tl.float32)
    d_last = tl.zeros([16, hp], tl.float32)
    for start in range(tl.program_id(0) * block, count, tl.num_programs(0) * block):
        row = start + tl.arange(0, block)
        x, y, z, active = _place(
            origin_ptr, direction_ptr, t_ptr, ray_ptr, first_ptr, live_ptr, row, row < count
        )
        cx, fx = cell(x * (0.5 / bound) + 0.5, scale, resolution)
        cy, fy = cell(y * (0.5 / bound) + 0.5, scale, resolution)
        cz, fz = cell(z * (0.5 / bound) + 0.5, scale, resolution)
        inside = active[:, None] & exists
        f_a = tl.zeros([block, lp], tl.float32)
        f_b = tl.zeros([block, lp], tl.float32)
        if with_gradient:
            rate = sharpness * 0.5 / bound
            gx, gy, gz = load_vector(d_gradient_ptr, row, active)
            vx, vy, vz = (rate * gx)[:, None], (rate * gy)[:, None], (rate * gz)[:, None]
            along_a, along_b = f_a, f_b
        for corner in tl.static_range(8):
            entry = corner_entry(cx, cy, cz, corner, resolution, size, offset, hashed)
            a, b = read_pair(table_ptr, entry, inside, True)
            weight = corner_weight(fx, fy, fz, 0.0, 0.0, 0.0, scale, corner, False)
            f_a += weight * a
            f_b += weight * b
            if with_gradient:
                slope = corner_weight(fx, fy, fz, vx, vy, vz, scale, corner, True)
                along_a += slope * a
                along_b += slope * b
        w_a = first_layer(density1_ptr, 0, levels, hidden, lp, hp)
        w_b = first_layer(density1_ptr, 1, levels, hidden, lp, hp)
        h = hidden_units(f_a, f_b, w_a, w_b)
        radius = tl.sqrt(tl.maximum(x * x + y * y + z * z, 1e-12))
        argument = sharpness * tl.sum(h * w_density, 1) + blob_scale * (1.0 - radius / blob_radius)
        d_density = tl.load(d_density_ptr + row, mask=active, other=0.0)
        d_density = tl.where(radius <= bound, d_density, 0.0) * multiplier * sharpness * sigmoid(argument)
        d_last += _dot16(tl.trans(tl.where(output == 0, d_density[:, None], 0.0)), h, exact)
        pull = tl.where(h > 0, w_density, 0.0)
        d_h = d_density[:, None] * pull
        d_density_a += _dot16(tl.trans(f_a), d_h, exact)
        d_density_b += _dot16(tl.trans(f_b), d_h, exact)
        d_a = _dot16(d_h, tl.trans(w_a), exact)
        d_b = _dot16(d_h, tl.trans(w_b), exact)
        if with_gradient:
            h = tl.where(h > 0, tl.dot(along_a, w_a) + tl.dot(along_b, w_b), 0.0)
            d_last += _dot16(tl.trans(tl.where((output == 0) & active[:, None], 1.0, 0.0)), h, exact)
            d_density_a += _dot16(tl.trans(along_a), pull, exact)
            d_density_b += _dot16(tl.trans(along_b), pull, exact)
            pull_a, pull_b = _dot16(pull, tl.trans(w_a), exact), _dot16(pull, tl.trans(w_b), exact)
            _store_pair(pull_ptr, row[:, None], level, count, pull_a, pull_b, inside)

        w_a = first_layer(colour1_ptr, 0, levels, hidden, lp, hp)
        w_b = first_layer(colour1_ptr, 1, levels, hidden, lp, hp)
        h = hidden_units(f_a, f_b, w_a, w_b)
        red = sigmoid(tl.sum(h * w_red, 1))
        green = sigmoid(tl.sum(h * w_green, 1))
        blue = sigmoid(tl.sum(h * w_blue, 1))
        d_red, d_green, d_blue = load_vector(d_colour_ptr, row, active)
        d_red *= red * (1.0 - red)
        d_green *= green * (1.0 - green)
        d_blue *= blue * (1.0 - blue)
        d_out = tl.where(output == 1, d_red[:, None], 0.0)
        d_out = tl.where(output == 2, d_green[:, None], d_out)
        d_out = tl.where(output == 3, d_blue[:, None], d_out)
        d_last += _dot16(tl.trans(d_out), h, exact)
        d_h = d_red[:, None] * w_red + d_green[:, None] * w_green + d_blue[:, None] * w_blue
        d_h = tl.where(h > 0, d_h, 0.0)
        d_colour_a += _dot16(tl.trans(f_a), d_h, exact)
        d_colour_b += _dot16(tl.trans(f_b), d_h, exact)
        d_a += _dot16(d_h, tl.trans(w_a), exact)
        d_b += _dot16(d_h, tl.trans(w_b), exact)
        _store_pair(feature_ptr, row[:, None], level, count, d_a, d_b, inside)

    _add_first_layer(d_density1_ptr, 0, d_density_a, levels, hidden, lp, hp)
    _add_first_layer(d_density1_ptr, 1, d_density_b, levels, hidden, lp, hp)
    _add_first_layer(d_colour1_ptr, 0, d_colour_a, levels, hidden, lp, hp)
    _add_first_layer(d_colour1_ptr, 1, d_colour_b, levels, hidden, lp, hp)
    k, unit = tl.arange(0, 16)[:, None], tl.arange(0, hp)[None, :]
    place = k * hidden + unit
    tl.atomic_add(d_density2_ptr + place, d_last, mask=(k == 0) & (unit < hidden), sem="relaxed")
    of_colour = (k >= 1) & (k <= 3) & (unit < hidden)
    tl.atomic_add(d_colour2_ptr + place - hidden, d_last, mask=of_colour, sem="relaxed")


@triton.jit
def _load_pair(pair_ptr, place, inside):
    bits = tl.load(pair_ptr + place, mask=inside, other=0)
    low = (bits & 0xFFFF).to(tl.uint16).to(tl.bfloat16, bitcast=True)
    high = ((bits >> 16) & 0xFFFF).to(tl.uint16).to(tl.bfloat16, bitcast=True)
    return low.to(tl.float32), high.to(tl.float32)


@triton.jit
def table_backward(
    origin_ptr, direction_ptr, t_ptr, ray_ptr, first_ptr, live_ptr, scale_ptr, geometry_ptr,
    d_gradient_ptr, feature_ptr, pull_ptr, d_table_ptr,
    count, bound, sharpness,
    with_gradient: tl.constexpr, vector: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Adds the features' gradients to the table's, a level at a time: it then stays in the cache."""
    level = tl.program_id(1)
    row = tl.program_id(0) * block + tl.arange(0, block)
    x, y, z, active = _place(origin_ptr, direction_ptr, t_ptr, ray_ptr, first_ptr, live_ptr, row, row < count)
    scale, resolution, size, offset, hashed = level_facts(scale_ptr, geometry_ptr, level)
    cx, fx = cell_along(x * (0.5 / bound) + 0.5, scale, resolution)
    cy, fy = cell_along(y * (0.5 / bound) + 0.5, scale, resolution)
    cz, fz = cell_along(z * (0.5 / bound) + 0.5, scale, resolution)
    place = level.to(tl.int64) * count + row
    d_a, d_b = _load_pair(feature_ptr, place, active)
    if with_gradient:
        rate = sharpness * 0.5 / bound
        gx, gy, gz = load_vector(d_gradient_ptr, row, active)
        pull_a, pull_b = _load_pair(pull_ptr, place, active)
    for corner in tl.static_range(8):
        entry = corner_entry(cx, cy, cz, corner, resolution, size, offset, hashed)
        weight = corner_weight(fx, fy, fz, 0.0, 0.0, 0.0, scale, corner, False)
        to_a, to_b = weight * d_a, weight * d_b
        if with_gradient:
            slope = corner_weight(fx, fy, fz, rate * gx, rate * gy, rate * gz, scale, corner, True)
            to_a += slope * pull_a
            to_b += slope * pull_b
        add_pair(d_table_ptr, entry, to_a, to_b, active, vector)
