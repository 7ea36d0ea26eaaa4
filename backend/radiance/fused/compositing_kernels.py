# SPDX-License-Identifier: GPL-3.0-or-later
# mypy: allow-untyped-defs, allow-untyped-calls
# (what @triton.jit compiles has Triton's types, not Python's)
"""The volume rendering integral over packed samples, one ray a lane, front to back.

Forward: w_i = T_i (1 - exp(-tau_i)), T_{i+1} = T_i exp(-tau_i), with tau_i = density times length.
Backward, with g_i = dL/dw_i: dL/dtau_i = T_{i+1} g_i - sum_{j>i} w_j g_j.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["rays"])
def composite_forward(
    density_ptr, colour_ptr, t_ptr, first_ptr, live_ptr, rgb_ptr, opacity_ptr, depth_ptr, weight_ptr,
    rays, length, block: tl.constexpr,
):  # fmt: skip
    ray = tl.program_id(0) * block + tl.arange(0, block)
    known = ray < rays
    first = tl.load(first_ptr + ray, mask=known, other=0)
    live = tl.load(live_ptr + ray, mask=known, other=0)
    light = tl.zeros([block], tl.float32) + 1.0
    red = tl.zeros([block], tl.float32)
    green = tl.zeros([block], tl.float32)
    blue = tl.zeros([block], tl.float32)
    opacity = tl.zeros([block], tl.float32)
    depth = tl.zeros([block], tl.float32)
    for j in range(tl.max(live, 0)):
        active = j < live
        row = first + j
        passed = tl.exp(-length * tl.load(density_ptr + row, mask=active, other=0.0))
        weight = light * (1.0 - passed)
        light = light * passed
        tl.store(weight_ptr + row, weight, mask=active)
        red += weight * tl.load(colour_ptr + row * 3, mask=active, other=0.0)
        green += weight * tl.load(colour_ptr + row * 3 + 1, mask=active, other=0.0)
        blue += weight * tl.load(colour_ptr + row * 3 + 2, mask=active, other=0.0)
        opacity += weight
        depth += weight * tl.load(t_ptr + row, mask=active, other=0.0)
    tl.store(rgb_ptr + ray * 3, red, mask=known)
    tl.store(rgb_ptr + ray * 3 + 1, green, mask=known)
    tl.store(rgb_ptr + ray * 3 + 2, blue, mask=known)
    tl.store(opacity_ptr + ray, opacity, mask=known)
    tl.store(depth_ptr + ray, depth, mask=known)


@triton.jit
def _push(
    density_ptr, colour_ptr, d_weight_ptr, d_red, d_green, d_blue, d_opacity, length, row, active,
    extra: tl.constexpr,
):  # fmt: skip
    """exp(-tau_i), and g_i: what the loss gains by a sample's weight."""
    passed = tl.exp(-length * tl.load(density_ptr + row, mask=active, other=0.0))
    red = tl.load(colour_ptr + row * 3, mask=active, other=0.0)
    green = tl.load(colour_ptr + row * 3 + 1, mask=active, other=0.0)
    blue = tl.load(colour_ptr + row * 3 + 2, mask=active, other=0.0)
    g = d_red * red + d_green * green + d_blue * blue + d_opacity
    if extra:
        g += tl.load(d_weight_ptr + row, mask=active, other=0.0)
    return passed, g


@triton.jit(do_not_specialize=["rays"])
def composite_backward(
    density_ptr, colour_ptr, first_ptr, live_ptr, d_rgb_ptr, d_opacity_ptr, d_weight_ptr,
    d_density_ptr, d_colour_ptr,
    rays, length, extra: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    ray = tl.program_id(0) * block + tl.arange(0, block)
    known = ray < rays
    first = tl.load(first_ptr + ray, mask=known, other=0)
    live = tl.load(live_ptr + ray, mask=known, other=0)
    d_red = tl.load(d_rgb_ptr + ray * 3, mask=known, other=0.0)
    d_green = tl.load(d_rgb_ptr + ray * 3 + 1, mask=known, other=0.0)
    d_blue = tl.load(d_rgb_ptr + ray * 3 + 2, mask=known, other=0.0)
    d_opacity = tl.load(d_opacity_ptr + ray, mask=known, other=0.0)
    longest = tl.max(live, 0)
    light = tl.zeros([block], tl.float32) + 1.0
    behind = tl.zeros([block], tl.float32)
    for j in range(longest):
        active = j < live
        row = first + j
        passed, g = _push(
            density_ptr,
            colour_ptr,
            d_weight_ptr,
            d_red,
            d_green,
            d_blue,
            d_opacity,
            length,
            row,
            active,
            extra,
        )
        behind += light * (1.0 - passed) * g
        light = light * passed
    light = tl.zeros([block], tl.float32) + 1.0
    for j in range(longest):
        active = j < live
        row = first + j
        passed, g = _push(
            density_ptr,
            colour_ptr,
            d_weight_ptr,
            d_red,
            d_green,
            d_blue,
            d_opacity,
            length,
            row,
            active,
            extra,
        )
        weight = light * (1.0 - passed)
        light = light * passed
        behind -= weight * g
        tl.store(d_density_ptr + row, length * (light * g - behind), mask=active)
        tl.store(d_colour_ptr + row * 3, weight * d_red, mask=active)
        tl.store(d_colour_ptr + row * 3 + 1, weight * d_green, mask=active)
        tl.store(d_colour_ptr + row * 3 + 2, weight * d_blue, mask=active)
