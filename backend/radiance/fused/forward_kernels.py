# SPDX-License-Identifier: GPL-3.0-or-later
# mypy: allow-untyped-defs, allow-untyped-calls
# (what @triton.jit compiles has Triton's types, not Python's)
"""Hash grid and both networks of a field in one kernel; the way back is in backward_kernels.py.

A program has a tile of rays and takes their samples front to back, `along` of each ray at a time, so that a
tile ends when no ray of it sees further. For a sample at x, with features f of the grid (L levels of 2, held
as two matrices: first and second feature of each level), and an h for each of the two networks:

    h = relu(f W1)    n = h · w_density    density = m softplus(s n + blob(|x|))    colour = sigmoid(h W2)

The direction in which the density grows is that of g = s dn/dx + blob'(|x|) x / |x|. Its derivative along v
is a forward derivative, so the backward pass of a loss on g needs no second pass over the networks: with
f' = the features' derivative along v, the loss is linear in h' = f' W1 where h > 0.
"""

from __future__ import annotations

import triton
import triton.language as tl

from backend.radiance.fused.field_parts import (
    column,
    first_layers,
    first_row,
    last_layers,
    ray_of,
    sigmoid,
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


@triton.jit
def _softplus(x):
    # Where e is small, 1 + e loses it, and with it the gradient of a density that is almost nothing.
    e = tl.exp(-tl.abs(x))
    return tl.maximum(x, 0.0) + tl.where(e < 1e-3, e - 0.5 * e * e, tl.log(1.0 + e))


@triton.jit
def _store_vector(base_ptr, row, a, b, c, inside):
    tl.store(base_ptr + row * 3, a, mask=inside)
    tl.store(base_ptr + row * 3 + 1, b, mask=inside)
    tl.store(base_ptr + row * 3 + 2, c, mask=inside)


@triton.jit
def _depths(step, along: tl.constexpr, block: tl.constexpr):
    """Optical depths of a ray's samples at hand: of those before each, and of all; (block,) both."""
    if along == 1:
        return tl.zeros([block], tl.float32), step
    else:
        steps = tl.reshape(step, [block // along, along])
        whole = tl.broadcast_to(tl.sum(steps, 1)[:, None], [block // along, along])
        return tl.reshape(tl.cumsum(steps, 1), [block]) - step, tl.reshape(whole, [block])


@triton.jit(do_not_specialize=["rays"])
def field_forward(
    origin_ptr, direction_ptr, t_ptr, first_ptr, table_ptr, scale_ptr, geometry_ptr,
    first_layer_ptr, last_layer_ptr,
    out_density_ptr, out_colour_ptr, out_gradient_ptr, out_feature_ptr, live_ptr,
    rays, levels, width,
    bound, multiplier, sharpness, blob_scale, blob_radius, length, stop,
    points: tl.constexpr, want_colour: tl.constexpr, want_gradient: tl.constexpr, keep: tl.constexpr,
    lp: tl.constexpr, hp: tl.constexpr, tile_width: tl.constexpr, block: tl.constexpr, along: tl.constexpr,
):  # fmt: skip
    """points: the origins are the samples; else a ray has those from first[ray] to first[ray + 1].

    keep: whether features are written down for the way back, (samples, 2 levels). block: samples at a time,
    of block / along rays.
    """
    ray = ray_of(tl.arange(0, block) // along, tl.program_id(0), rays, width, tile_width, block // along)
    ahead = tl.arange(0, block) % along
    known = ray < rays
    ox, oy, oz = load_vector(origin_ptr, ray, known)
    if points:
        first = ray
        count = tl.where(known, 1, 0)
        dx, dy, dz = ox, oy, oz
    else:
        first = tl.load(first_ptr + ray, mask=known, other=0)
        count = tl.load(first_ptr + ray + 1, mask=known, other=0) - first
        dx, dy, dz = load_vector(direction_ptr, ray, known)
    scale, resolution, size, offset, hashed, exists = all_levels(scale_ptr, geometry_ptr, levels, lp)
    w_first = first_layers(first_layer_ptr, levels, lp, hp)
    w_last = last_layers(last_layer_ptr, hp)

    depth = tl.zeros([block], tl.float32)
    live = tl.zeros([block], tl.int32)
    j = 0
    longest = tl.max(count, 0)
    while j < longest:
        active = j + ahead < count
        row = first + j + ahead
        if points:
            x, y, z = ox, oy, oz
        else:
            t = tl.load(t_ptr + row, mask=active, other=0.0)
            x, y, z = ox + t * dx, oy + t * dy, oz + t * dz
        cx, fx = cell(x * (0.5 / bound) + 0.5, scale, resolution)
        cy, fy = cell(y * (0.5 / bound) + 0.5, scale, resolution)
        cz, fz = cell(z * (0.5 / bound) + 0.5, scale, resolution)
        inside = active[:, None] & exists
        f_a = tl.zeros([block, lp], tl.float32)
        f_b = tl.zeros([block, lp], tl.float32)
        if want_gradient:
            ax, ay, az = f_a, f_a, f_a
            bx, by, bz = f_b, f_b, f_b
        for corner in tl.static_range(8):
            entry = corner_entry(cx, cy, cz, corner, resolution, size, offset, hashed)
            a, b = read_pair(table_ptr, entry, inside, True)
            weight = corner_weight(fx, fy, fz, 0.0, 0.0, 0.0, scale, corner, False)
            f_a += weight * a
            f_b += weight * b
            if want_gradient:
                slope = corner_weight(fx, fy, fz, 1.0, 0.0, 0.0, scale, corner, True)
                ax += slope * a
                bx += slope * b
                slope = corner_weight(fx, fy, fz, 0.0, 1.0, 0.0, scale, corner, True)
                ay += slope * a
                by += slope * b
                slope = corner_weight(fx, fy, fz, 0.0, 0.0, 1.0, scale, corner, True)
                az += slope * a
                bz += slope * b
        f = joined(f_a, f_b, block, lp).to(w_first.dtype)
        if keep:
            feature = tl.arange(0, 2 * lp)[None, :]
            place = out_feature_ptr + row.to(tl.int64)[:, None] * (levels * 2) + feature
            tl.store(place, f, mask=active[:, None] & (feature < levels * 2))
        h = tl.dot(f, w_first)
        out = tl.dot(tl.maximum(h, 0.0).to(w_last.dtype), tl.trans(w_last))
        radius = tl.sqrt(tl.maximum(x * x + y * y + z * z, 1e-12))
        argument = sharpness * column(out, 0) + blob_scale * (1.0 - radius / blob_radius)
        density = tl.where(radius <= bound, multiplier * _softplus(argument), 0.0)
        before, whole = _depths(tl.where(active, density * length, 0.0), along, block)
        active &= tl.exp(-depth - before) >= stop
        depth += whole
        tl.store(out_density_ptr + row, density, mask=active)
        if want_gradient:
            pull = tl.where(h > 0, first_row(w_last), 0.0).to(w_first.dtype)
            g_a, g_b = tl.split(tl.reshape(tl.dot(pull, tl.trans(w_first)), [block, lp, 2]))
            rate = sharpness * 0.5 / bound
            blob = blob_scale / (blob_radius * radius)
            gx = rate * tl.sum(g_a * ax + g_b * bx, 1) - blob * x
            gy = rate * tl.sum(g_a * ay + g_b * by, 1) - blob * y
            gz = rate * tl.sum(g_a * az + g_b * bz, 1) - blob * z
            _store_vector(out_gradient_ptr, row, gx, gy, gz, active)
        if want_colour:
            red, green, blue = column(out, 1), column(out, 2), column(out, 3)
            _store_vector(out_colour_ptr, row, sigmoid(red), sigmoid(green), sigmoid(blue), active)
        live = tl.where(active, j + ahead + 1, live)
        count = tl.where(tl.exp(-depth) >= stop, count, 0)
        longest = tl.max(count, 0)
        j += along
    if not points:
        tile: tl.constexpr = block // along
        ray = ray_of(tl.arange(0, tile), tl.program_id(0), rays, width, tile_width, tile)
        tl.store(live_ptr + ray, tl.max(tl.reshape(live, [tile, along]), 1), mask=ray < rays)
