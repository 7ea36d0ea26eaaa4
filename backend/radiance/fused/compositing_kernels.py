# SPDX-License-Identifier: GPL-3.0-or-later
# mypy: allow-untyped-defs, allow-untyped-calls
# (what @triton.jit compiles has Triton's types, not Python's)
"""The volume rendering integral over packed samples, front to back, `along` of some rays at a time.

Forward: w_i = T_i (1 - exp(-tau_i)), T_i = exp(-sum_{j<i} tau_j), with tau_i = density times length.
Backward, with g_i = dL/dw_i: dL/dtau_i = T_{i+1} g_i - sum_{j>i} w_j g_j.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _rays(first_ptr, live_ptr, rays, block: tl.constexpr):
    """This program's rays, which of them exist, where their samples begin, and how many count; (block, 1)."""
    ray = (tl.program_id(0) * block + tl.arange(0, block))[:, None]
    known = ray < rays
    first = tl.load(first_ptr + ray, mask=known, other=0)
    return ray, known, first, tl.load(live_ptr + ray, mask=known, other=0)


@triton.jit
def _weights(density_ptr, row, active, length, depth):
    """w_i, T_{i+1}, and the optical depth behind all of these samples (block, 1); depth: that before them."""
    tau = length * tl.load(density_ptr + row, mask=active, other=0.0)
    behind = depth + tl.cumsum(tau, 1)
    weight = tl.exp(tau - behind) * (1.0 - tl.exp(-tau))
    return weight, tl.exp(-behind), depth + tl.sum(tau, 1)[:, None]


@triton.jit(do_not_specialize=["rays"])
def composite_forward(
    density_ptr, colour_ptr, t_ptr, first_ptr, live_ptr, rgb_ptr, opacity_ptr, depth_ptr, weight_ptr,
    rays, length, block: tl.constexpr, along: tl.constexpr,
):  # fmt: skip
    ray, known, first, live = _rays(first_ptr, live_ptr, rays, block)
    ahead = tl.arange(0, along)[None, :]
    optical = tl.zeros([block, 1], tl.float32)
    red = tl.zeros([block, along], tl.float32)
    green, blue, opacity, depth = red, red, red, red
    for start in range(0, tl.max(tl.max(live, 1), 0), along):
        active = start + ahead < live
        row = first + start + ahead
        weight, _, optical = _weights(density_ptr, row, active, length, optical)
        tl.store(weight_ptr + row, weight, mask=active)
        red += weight * tl.load(colour_ptr + row * 3, mask=active, other=0.0)
        green += weight * tl.load(colour_ptr + row * 3 + 1, mask=active, other=0.0)
        blue += weight * tl.load(colour_ptr + row * 3 + 2, mask=active, other=0.0)
        opacity += weight
        depth += weight * tl.load(t_ptr + row, mask=active, other=0.0)
    tl.store(rgb_ptr + ray * 3, tl.sum(red, 1)[:, None], mask=known)
    tl.store(rgb_ptr + ray * 3 + 1, tl.sum(green, 1)[:, None], mask=known)
    tl.store(rgb_ptr + ray * 3 + 2, tl.sum(blue, 1)[:, None], mask=known)
    tl.store(opacity_ptr + ray, tl.sum(opacity, 1)[:, None], mask=known)
    tl.store(depth_ptr + ray, tl.sum(depth, 1)[:, None], mask=known)


@triton.jit
def _push(
    colour_ptr, d_weight_ptr, d_red, d_green, d_blue, d_opacity, row, active, extra: tl.constexpr
):  # fmt: skip
    """g_i: what the loss gains by a sample's weight."""
    red = tl.load(colour_ptr + row * 3, mask=active, other=0.0)
    green = tl.load(colour_ptr + row * 3 + 1, mask=active, other=0.0)
    blue = tl.load(colour_ptr + row * 3 + 2, mask=active, other=0.0)
    g = d_red * red + d_green * green + d_blue * blue + d_opacity
    if extra:
        g += tl.load(d_weight_ptr + row, mask=active, other=0.0)
    return g


@triton.jit(do_not_specialize=["rays"])
def composite_backward(
    density_ptr, colour_ptr, first_ptr, live_ptr, d_rgb_ptr, d_opacity_ptr, d_weight_ptr,
    d_density_ptr, d_colour_ptr,
    rays, length, extra: tl.constexpr, block: tl.constexpr, along: tl.constexpr,
):  # fmt: skip
    """Twice along the rays: what all samples gain must be known before what those behind one do."""
    ray, known, first, live = _rays(first_ptr, live_ptr, rays, block)
    ahead = tl.arange(0, along)[None, :]
    d_red = tl.load(d_rgb_ptr + ray * 3, mask=known, other=0.0)
    d_green = tl.load(d_rgb_ptr + ray * 3 + 1, mask=known, other=0.0)
    d_blue = tl.load(d_rgb_ptr + ray * 3 + 2, mask=known, other=0.0)
    d_opacity = tl.load(d_opacity_ptr + ray, mask=known, other=0.0)
    longest = tl.max(tl.max(live, 1), 0)
    optical = tl.zeros([block, 1], tl.float32)
    gained = tl.zeros([block, along], tl.float32)
    for start in range(0, longest, along):
        active = start + ahead < live
        row = first + start + ahead
        weight, _, optical = _weights(density_ptr, row, active, length, optical)
        gained += weight * _push(
            colour_ptr, d_weight_ptr, d_red, d_green, d_blue, d_opacity, row, active, extra
        )
    left = tl.sum(gained, 1)[:, None]
    optical = tl.zeros([block, 1], tl.float32)
    for start in range(0, longest, along):
        active = start + ahead < live
        row = first + start + ahead
        weight, light, optical = _weights(density_ptr, row, active, length, optical)
        g = _push(colour_ptr, d_weight_ptr, d_red, d_green, d_blue, d_opacity, row, active, extra)
        behind = left - tl.cumsum(weight * g, 1)
        left -= tl.sum(weight * g, 1)[:, None]
        tl.store(d_density_ptr + row, length * (light * g - behind), mask=active)
        tl.store(d_colour_ptr + row * 3, weight * d_red, mask=active)
        tl.store(d_colour_ptr + row * 3 + 1, weight * d_green, mask=active)
        tl.store(d_colour_ptr + row * 3 + 2, weight * d_blue, mask=active)
