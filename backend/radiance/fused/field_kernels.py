# SPDX-License-Identifier: GPL-3.0-or-later
# mypy: allow-untyped-defs, allow-untyped-calls
# (what @triton.jit compiles has Triton's types, not Python's)
"""Hash grid and both networks of a field in one kernel each way.

A program has a tile of rays and takes their samples front to back, one of each ray at a time, so that a tile
ends when no ray of it sees further. For a sample at x, with features f of the grid (L levels of 2, held as
two matrices: first and second feature of each level) and the hidden layers of both networks side by side:

    h = relu(f W1)    n = h · w_density    density = m softplus(s n + blob(|x|))    colour = sigmoid(h W2)

The direction in which the density grows is that of g = s dn/dx + blob'(|x|) x / |x|. Its derivative along v
is a forward derivative, so the backward pass of a loss on g needs no second pass over the networks: with
f' = the features' derivative along v, the loss is linear in h' = f' W1 where h > 0.
"""

from __future__ import annotations

import triton
import triton.language as tl

from backend.radiance.hash_grid_triton import add_pair, corner_entry, corner_weight, read_pair


@triton.jit
def _levels(scale_ptr, geometry_ptr, levels, padded: tl.constexpr):
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
def _along(x, scale, resolution):
    """Lowest corner (clamped into the level) and fraction along one axis."""
    place = x * scale + 0.5
    low = tl.floor(place)
    corner = tl.minimum(tl.maximum(low.to(tl.int32), 0), resolution - 1)
    return corner, place - low


@triton.jit
def _cell(x, scale, resolution):
    """The same for all levels, (block, levels) each."""
    return _along(x[:, None], scale, resolution)


@triton.jit
def _first_layer(weight_ptr, feature: tl.constexpr, levels, hidden, lp: tl.constexpr, hp: tl.constexpr):
    """Rows of W1 for the first or second feature of each level, (lp, hp)."""
    level, unit = tl.arange(0, lp)[:, None], tl.arange(0, hp)[None, :]
    place = unit * (levels * 2) + level * 2 + feature
    return tl.load(weight_ptr + place, mask=(level < levels) & (unit < hidden), other=0.0)


@triton.jit
def _add_first_layer(
    weight_ptr, feature: tl.constexpr, value, levels, hidden, lp: tl.constexpr, hp: tl.constexpr
):
    level, unit = tl.arange(0, lp)[:, None], tl.arange(0, hp)[None, :]
    place = unit * (levels * 2) + level * 2 + feature
    tl.atomic_add(weight_ptr + place, value, mask=(level < levels) & (unit < hidden), sem="relaxed")


@triton.jit
def _last_layer(weight_ptr, row: tl.constexpr, hidden, hp: tl.constexpr):
    """A row of an output layer, (1, hp)."""
    unit = tl.arange(0, hp)
    return tl.load(weight_ptr + row * hidden + unit, mask=unit < hidden, other=0.0)[None, :]


@triton.jit
def _hidden(f_a, f_b, w_a, w_b):
    """relu(f W1)."""
    h = tl.dot(f_a, w_a) + tl.dot(f_b, w_b)
    return tl.where(h > 0, h, 0.0)


@triton.jit
def _ray_of(lane, tile, rays, width, tile_width: tl.constexpr, block: tl.constexpr):
    """The tile's rays: a rectangle of the picture if `width` (its pixels a row) is given, else a run."""
    if tile_width > 0:
        height: tl.constexpr = block // tile_width
        across = width // tile_width
        row = (tile // across) * height + lane // tile_width
        return row * width + (tile % across) * tile_width + lane % tile_width
    else:
        return tile * block + lane


@triton.jit
def _softplus(x):
    return tl.maximum(x, 0.0) + tl.log(1.0 + tl.exp(-tl.abs(x)))


@triton.jit
def _sigmoid(x):
    return 1.0 / (1.0 + tl.exp(-x))


@triton.jit
def _vector(base_ptr, row, inside):
    a = tl.load(base_ptr + row * 3, mask=inside, other=0.0)
    b = tl.load(base_ptr + row * 3 + 1, mask=inside, other=0.0)
    c = tl.load(base_ptr + row * 3 + 2, mask=inside, other=0.0)
    return a, b, c


@triton.jit
def _store_vector(base_ptr, row, a, b, c, inside):
    tl.store(base_ptr + row * 3, a, mask=inside)
    tl.store(base_ptr + row * 3 + 1, b, mask=inside)
    tl.store(base_ptr + row * 3 + 2, c, mask=inside)


@triton.jit
def field_forward(
    origin_ptr, direction_ptr, t_ptr, first_ptr, table_ptr, scale_ptr, geometry_ptr,
    density1_ptr, density2_ptr, colour1_ptr, colour2_ptr,
    out_density_ptr, out_colour_ptr, out_gradient_ptr, live_ptr,
    rays, levels, hidden, width,
    bound, multiplier, sharpness, blob_scale, blob_radius, length, stop,
    points: tl.constexpr, want_colour: tl.constexpr, want_gradient: tl.constexpr, half: tl.constexpr,
    lp: tl.constexpr, hp: tl.constexpr, tile_width: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """points: the origins are the samples; else a ray has those from first[ray] to first[ray + 1]."""
    lane = tl.arange(0, block)
    ray = _ray_of(lane, tl.program_id(0), rays, width, tile_width, block)
    known = ray < rays
    ox, oy, oz = _vector(origin_ptr, ray, known)
    if points:
        first = ray
        count = tl.where(known, 1, 0)
        dx, dy, dz = ox, oy, oz
    else:
        first = tl.load(first_ptr + ray, mask=known, other=0)
        count = tl.load(first_ptr + ray + 1, mask=known, other=0) - first
        dx, dy, dz = _vector(direction_ptr, ray, known)
    scale, resolution, size, offset, hashed, exists = _levels(scale_ptr, geometry_ptr, levels, lp)
    w_a = _first_layer(density1_ptr, 0, levels, hidden, lp, hp)
    w_b = _first_layer(density1_ptr, 1, levels, hidden, lp, hp)
    w_density = _last_layer(density2_ptr, 0, hidden, hp)

    depth = tl.zeros([block], tl.float32)
    live = tl.zeros([block], tl.int32)
    j = 0
    longest = tl.max(count, 0)
    while j < longest:
        active = j < count
        row = first + j
        if points:
            x, y, z = ox, oy, oz
        else:
            t = tl.load(t_ptr + row, mask=active, other=0.0)
            x, y, z = ox + t * dx, oy + t * dy, oz + t * dz
        cx, fx = _cell(x * (0.5 / bound) + 0.5, scale, resolution)
        cy, fy = _cell(y * (0.5 / bound) + 0.5, scale, resolution)
        cz, fz = _cell(z * (0.5 / bound) + 0.5, scale, resolution)
        inside = active[:, None] & exists
        f_a = tl.zeros([block, lp], tl.float32)
        f_b = tl.zeros([block, lp], tl.float32)
        if want_gradient:
            ax, ay, az = f_a, f_a, f_a
            bx, by, bz = f_b, f_b, f_b
        for corner in tl.static_range(8):
            entry = corner_entry(cx, cy, cz, corner, resolution, size, offset, hashed)
            a, b = read_pair(table_ptr, entry, inside, half)
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
        h = _hidden(f_a, f_b, w_a, w_b)
        radius = tl.sqrt(tl.maximum(x * x + y * y + z * z, 1e-12))
        argument = sharpness * tl.sum(h * w_density, 1) + blob_scale * (1.0 - radius / blob_radius)
        density = tl.where(radius <= bound, multiplier * _softplus(argument), 0.0)
        tl.store(out_density_ptr + row, density, mask=active)
        if want_gradient:
            pull = tl.where(h > 0, w_density, 0.0)
            g_a = tl.dot(pull, tl.trans(w_a))
            g_b = tl.dot(pull, tl.trans(w_b))
            rate = sharpness * 0.5 / bound
            blob = blob_scale / (blob_radius * radius)
            gx = rate * tl.sum(g_a * ax + g_b * bx, 1) - blob * x
            gy = rate * tl.sum(g_a * ay + g_b * by, 1) - blob * y
            gz = rate * tl.sum(g_a * az + g_b * bz, 1) - blob * z
            _store_vector(out_gradient_ptr, row, gx, gy, gz, active)
        if want_colour:
            h = _hidden(
                f_a, f_b,
                _first_layer(colour1_ptr, 0, levels, hidden, lp, hp),
                _first_layer(colour1_ptr, 1, levels, hidden, lp, hp),
            )  # fmt: skip
            red = _sigmoid(tl.sum(h * _last_layer(colour2_ptr, 0, hidden, hp), 1))
            green = _sigmoid(tl.sum(h * _last_layer(colour2_ptr, 1, hidden, hp), 1))
            blue = _sigmoid(tl.sum(h * _last_layer(colour2_ptr, 2, hidden, hp), 1))
            _store_vector(out_colour_ptr, row, red, green, blue, active)
        live = tl.where(active, j + 1, live)
        depth += tl.where(active, density * length, 0.0)
        count = tl.where(tl.exp(-depth) >= stop, count, 0)
        longest = tl.max(count, 0)
        j += 1
    if not points:
        tl.store(live_ptr + ray, live, mask=known)


@triton.jit
def _place(origin_ptr, direction_ptr, t_ptr, ray_ptr, first_ptr, live_ptr, row, inside):
    """Positions of the samples `row`, and which of them were evaluated."""
    ray = tl.load(ray_ptr + row, mask=inside, other=0)
    active = inside & (row - tl.load(first_ptr + ray) < tl.load(live_ptr + ray))
    t = tl.load(t_ptr + row, mask=inside, other=0.0)
    ox, oy, oz = _vector(origin_ptr, ray, inside)
    dx, dy, dz = _vector(direction_ptr, ray, inside)
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
    with_gradient: tl.constexpr, half: tl.constexpr, exact: tl.constexpr,
    lp: tl.constexpr, hp: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Gradients of the networks' weights; and for `table_backward` those of the features (levels, count).

    pull (levels, count): of n by the features. A program takes every so many-th block of samples and keeps
    its sums in registers till the end.
    """
    scale, resolution, size, offset, hashed, exists = _levels(scale_ptr, geometry_ptr, levels, lp)
    level = tl.arange(0, lp)[None, :]
    w_density = _last_layer(density2_ptr, 0, hidden, hp)
    w_red = _last_layer(colour2_ptr, 0, hidden, hp)
    w_green = _last_layer(colour2_ptr, 1, hidden, hp)
    w_blue = _last_layer(colour2_ptr, 2, hidden, hp)
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
        cx, fx = _cell(x * (0.5 / bound) + 0.5, scale, resolution)
        cy, fy = _cell(y * (0.5 / bound) + 0.5, scale, resolution)
        cz, fz = _cell(z * (0.5 / bound) + 0.5, scale, resolution)
        inside = active[:, None] & exists
        f_a = tl.zeros([block, lp], tl.float32)
        f_b = tl.zeros([block, lp], tl.float32)
        if with_gradient:
            rate = sharpness * 0.5 / bound
            gx, gy, gz = _vector(d_gradient_ptr, row, active)
            vx, vy, vz = (rate * gx)[:, None], (rate * gy)[:, None], (rate * gz)[:, None]
            along_a, along_b = f_a, f_b
        for corner in tl.static_range(8):
            entry = corner_entry(cx, cy, cz, corner, resolution, size, offset, hashed)
            a, b = read_pair(table_ptr, entry, inside, half)
            weight = corner_weight(fx, fy, fz, 0.0, 0.0, 0.0, scale, corner, False)
            f_a += weight * a
            f_b += weight * b
            if with_gradient:
                slope = corner_weight(fx, fy, fz, vx, vy, vz, scale, corner, True)
                along_a += slope * a
                along_b += slope * b
        w_a = _first_layer(density1_ptr, 0, levels, hidden, lp, hp)
        w_b = _first_layer(density1_ptr, 1, levels, hidden, lp, hp)
        h = _hidden(f_a, f_b, w_a, w_b)
        radius = tl.sqrt(tl.maximum(x * x + y * y + z * z, 1e-12))
        argument = sharpness * tl.sum(h * w_density, 1) + blob_scale * (1.0 - radius / blob_radius)
        d_density = tl.load(d_density_ptr + row, mask=active, other=0.0)
        d_density = tl.where(radius <= bound, d_density, 0.0) * multiplier * sharpness * _sigmoid(argument)
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

        w_a = _first_layer(colour1_ptr, 0, levels, hidden, lp, hp)
        w_b = _first_layer(colour1_ptr, 1, levels, hidden, lp, hp)
        h = _hidden(f_a, f_b, w_a, w_b)
        red = _sigmoid(tl.sum(h * w_red, 1))
        green = _sigmoid(tl.sum(h * w_green, 1))
        blue = _sigmoid(tl.sum(h * w_blue, 1))
        d_red, d_green, d_blue = _vector(d_colour_ptr, row, active)
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
    scale = tl.load(scale_ptr + level)
    resolution = tl.load(geometry_ptr + level * 4)
    size = tl.load(geometry_ptr + level * 4 + 1)
    offset = tl.load(geometry_ptr + level * 4 + 2)
    hashed = tl.load(geometry_ptr + level * 4 + 3)
    cx, fx = _along(x * (0.5 / bound) + 0.5, scale, resolution)
    cy, fy = _along(y * (0.5 / bound) + 0.5, scale, resolution)
    cz, fz = _along(z * (0.5 / bound) + 0.5, scale, resolution)
    place = level.to(tl.int64) * count + row
    d_a, d_b = _load_pair(feature_ptr, place, active)
    if with_gradient:
        rate = sharpness * 0.5 / bound
        gx, gy, gz = _vector(d_gradient_ptr, row, active)
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
