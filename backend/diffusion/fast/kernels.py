# SPDX-License-Identifier: GPL-3.0-or-later
# mypy: allow-untyped-defs, allow-untyped-calls
# (what @triton.jit compiles has Triton's types, not Python's)
"""Triton kernels over channels-last maps: rows are pixels, channels are contiguous.

GroupNorm is two affine maps per channel around sums: y = act(a x + s) with a, s of a (sample, channel), and
dx = a dz + p x + q with dz = dy act'(a x + s). So one pass sums, a tiny one turns sums into factors, and one
applies them; a map whose groups fit into registers needs one pass in all. Sums are made in a fixed order.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def gate(z):
    """Sigmoid without a division, which takes more instructions than all the rest of a norm."""
    root = tl.rsqrt(1.0 + tl.exp(-z))
    return root * root


@triton.jit
def _slope(z, act: tl.constexpr):
    """Derivative of SiLU, or 1."""
    if act:
        open = gate(z)
        return open * (1.0 + z * (1.0 - open))
    else:
        return tl.full(z.shape, 1.0, tl.float32)


@triton.jit
def store_sums(partial_ptr, first, second, channel, there, channels, splits):
    """Two sums of this program's split, sample and channels: partial is (B, splits, 2, C)."""
    place = (tl.program_id(2) * splits + tl.program_id(0)) * 2 * channels + channel
    tl.store(partial_ptr + place, first, mask=there)
    tl.store(partial_ptr + place + channels, second, mask=there)


@triton.jit
def sums_kernel(
    x_ptr, dy_ptr, factors_ptr, partial_ptr, pixels, channels, splits, per_split,
    act: tl.constexpr, back: tl.constexpr, rows: tl.constexpr, wide: tl.constexpr, stages: tl.constexpr,
):  # fmt: skip
    """Per split, sums over pixels: of x and x², or (back) of dz and dz x. per_split: a multiple of rows."""
    sample = tl.program_id(2)
    channel = tl.program_id(1) * wide + tl.arange(0, wide)
    there = channel < channels
    first = tl.zeros([rows, wide], tl.float32)
    second = tl.zeros([rows, wide], tl.float32)
    start = tl.program_id(0) * per_split
    end = tl.minimum(start + per_split, pixels)
    x_ptr += sample.to(tl.int64) * pixels * channels
    dy_ptr += sample.to(tl.int64) * pixels * channels
    if back:
        a = tl.load(factors_ptr + sample * 2 * channels + channel, mask=there, other=0.0)[None, :]
        s = tl.load(factors_ptr + (sample * 2 + 1) * channels + channel, mask=there, other=0.0)[None, :]
    for at in tl.range(start, end, rows, num_stages=stages):
        row = at + tl.arange(0, rows)
        mask = (row < end)[:, None] & there[None, :]
        place = row[:, None] * channels + channel[None, :]
        x = tl.load(x_ptr + place, mask=mask, other=0.0).to(tl.float32)
        if back:
            dy = tl.load(dy_ptr + place, mask=mask, other=0.0).to(tl.float32)
            dz = dy * _slope(a * x + s, act)
            first += dz
            second += dz * x
        else:
            first += x
            second += x * x
    store_sums(partial_ptr, tl.sum(first, 0), tl.sum(second, 0), channel, there, channels, splits)


@triton.jit
def _group(
    partial_ptr, channels, splits, group: tl.constexpr, split_wide: tl.constexpr, group_wide: tl.constexpr
):
    """This program's sample and channels (of a group), which of these exist, and both of their sums."""
    number, sample = tl.program_id(0), tl.program_id(1)
    inner = tl.arange(0, group_wide)
    mine = inner < group
    channel = number * group + inner
    split = tl.arange(0, split_wide)
    place = (sample * splits + split[:, None]) * 2 * channels + channel[None, :]
    mask = (split < splits)[:, None] & mine[None, :]
    first = tl.sum(tl.load(partial_ptr + place, mask=mask, other=0.0), 0)
    second = tl.sum(tl.load(partial_ptr + place + channels, mask=mask, other=0.0), 0)
    return number, sample, channel, mine, first, second


@triton.jit
def factors_kernel(
    partial_ptr, bias_ptr, weight_ptr, shift_ptr, factors_ptr, moments_ptr,
    pixels, channels, splits, bias_stride, eps, group: tl.constexpr,
    has_bias: tl.constexpr, split_wide: tl.constexpr, group_wide: tl.constexpr,
):  # fmt: skip
    """Sums to a, s (factors: (B, 2, C)) and the group's mean and 1/std (moments: (B, groups, 2))."""
    number, sample, channel, mine, first, second = _group(
        partial_ptr, channels, splits, group, split_wide, group_wide
    )
    bias = tl.zeros([group_wide], tl.float32)
    if has_bias:
        bias = tl.load(bias_ptr + sample * bias_stride + channel, mask=mine, other=0.0).to(tl.float32)
    count = pixels * group
    # Sums of x + bias, from those of x.
    second = second + bias * (2.0 * first + pixels * bias)
    first = first + pixels * bias
    mean = tl.sum(first, 0) / count
    variance = tl.maximum(tl.sum(second, 0) / count - mean * mean, 0.0)
    rstd = 1.0 / tl.sqrt(variance + eps)
    a = rstd * tl.load(weight_ptr + channel, mask=mine, other=0.0).to(tl.float32)
    s = (bias - mean) * a + tl.load(shift_ptr + channel, mask=mine, other=0.0).to(tl.float32)
    tl.store(factors_ptr + sample * 2 * channels + channel, a, mask=mine)
    tl.store(factors_ptr + (sample * 2 + 1) * channels + channel, s, mask=mine)
    moment = moments_ptr + (sample * tl.num_programs(0) + number) * 2
    tl.store(moment, mean)
    tl.store(moment + 1, rstd)


@triton.jit
def whole_kernel(
    x_ptr, bias_ptr, weight_ptr, shift_ptr, y_ptr, factors_ptr, moments_ptr, bias_stride, eps,
    pixels: tl.constexpr, channels: tl.constexpr, group: tl.constexpr, has_bias: tl.constexpr,
    act: tl.constexpr, rows: tl.constexpr, group_wide: tl.constexpr,
):  # fmt: skip
    """The whole norm of a small map: a program keeps a sample's group of channels. Outputs as above."""
    number, sample = tl.program_id(0), tl.program_id(1)
    inner, row = tl.arange(0, group_wide), tl.arange(0, rows)
    mine = inner < group
    channel = number * group + inner
    mask = (row < pixels)[:, None] & mine[None, :]
    # Strides are known when it is compiled: addresses then differ by constants, and take no registers.
    place = row[:, None] * channels + channel[None, :]
    x_ptr += sample.to(tl.int64) * pixels * channels
    y_ptr += sample.to(tl.int64) * pixels * channels
    x = tl.load(x_ptr + place, mask=mask, other=0.0).to(tl.float32)
    bias = tl.zeros([group_wide], tl.float32)
    if has_bias:
        bias = tl.load(bias_ptr + sample * bias_stride + channel, mask=mine, other=0.0).to(tl.float32)
        x = tl.where(mask, x + bias[None, :], 0.0)
    count = pixels * group
    mean = tl.sum(tl.sum(x, 0), 0) / count
    x = tl.where(mask, x - mean, 0.0)
    rstd = 1.0 / tl.sqrt(tl.sum(tl.sum(x * x, 0), 0) / count + eps)
    a = rstd * tl.load(weight_ptr + channel, mask=mine, other=0.0).to(tl.float32)
    shift = tl.load(shift_ptr + channel, mask=mine, other=0.0).to(tl.float32)
    z = a[None, :] * x + shift[None, :]
    if act:
        z = z * gate(z)
    tl.store(y_ptr + place, z, mask=mask)
    tl.store(factors_ptr + sample * 2 * channels + channel, a, mask=mine)
    tl.store(factors_ptr + (sample * 2 + 1) * channels + channel, (bias - mean) * a + shift, mask=mine)
    moment = moments_ptr + (sample * tl.num_programs(0) + number) * 2
    tl.store(moment, mean)
    tl.store(moment + 1, rstd)


@triton.jit
def back_factors_kernel(
    partial_ptr, bias_ptr, weight_ptr, moments_ptr, back_ptr, pixels, channels, splits, bias_stride,
    group: tl.constexpr, has_bias: tl.constexpr, split_wide: tl.constexpr, group_wide: tl.constexpr,
):  # fmt: skip
    """Sums of dz and dz x to p, q (back: (B, 2, C))."""
    number, sample, channel, mine, first, second = _group(
        partial_ptr, channels, splits, group, split_wide, group_wide
    )
    moment = moments_ptr + (sample * tl.num_programs(0) + number) * 2
    mean, rstd = tl.load(moment), tl.load(moment + 1)
    centre = tl.zeros([group_wide], tl.float32) - mean
    if has_bias:
        centre += tl.load(bias_ptr + sample * bias_stride + channel, mask=mine, other=0.0).to(tl.float32)
    weight = tl.load(weight_ptr + channel, mask=mine, other=0.0).to(tl.float32)
    count = pixels * group
    c1 = tl.sum(weight * first, 0) / count
    c2 = tl.sum(weight * rstd * (second + centre * first), 0) / count
    p = tl.zeros([group_wide], tl.float32) - rstd * rstd * c2
    q = p * centre - rstd * c1
    tl.store(back_ptr + sample * 2 * channels + channel, p, mask=mine)
    tl.store(back_ptr + (sample * 2 + 1) * channels + channel, q, mask=mine)


@triton.jit
def apply_kernel(
    x_ptr, factors_ptr, y_ptr, pixels, channels,
    act: tl.constexpr, rows: tl.constexpr, wide: tl.constexpr,
):  # fmt: skip
    """y = act(a x + s)."""
    sample = tl.program_id(2)
    channel = tl.program_id(1) * wide + tl.arange(0, wide)
    there = channel < channels
    a = tl.load(factors_ptr + sample * 2 * channels + channel, mask=there, other=0.0)
    s = tl.load(factors_ptr + (sample * 2 + 1) * channels + channel, mask=there, other=0.0)
    row = tl.program_id(0) * rows + tl.arange(0, rows)
    mask = (row < pixels)[:, None] & there[None, :]
    place = sample.to(tl.int64) * pixels * channels + row[:, None] * channels + channel[None, :]
    z = a[None, :] * tl.load(x_ptr + place, mask=mask, other=0.0).to(tl.float32) + s[None, :]
    if act:
        z = z * gate(z)
    tl.store(y_ptr + place, z, mask=mask)


@triton.jit
def back_kernel(
    x_ptr, dy_ptr, beside_ptr, factors_ptr, back_ptr, dx_ptr, pixels, channels,
    act: tl.constexpr, has_beside: tl.constexpr, rows: tl.constexpr, wide: tl.constexpr,
):  # fmt: skip
    """dx = a dz + p x + q, plus the gradient that comes along the residual branch."""
    sample = tl.program_id(2)
    channel = tl.program_id(1) * wide + tl.arange(0, wide)
    there = channel < channels
    low, high = sample * 2 * channels + channel, (sample * 2 + 1) * channels + channel
    a = tl.load(factors_ptr + low, mask=there, other=0.0)[None, :]
    s = tl.load(factors_ptr + high, mask=there, other=0.0)[None, :]
    p = tl.load(back_ptr + low, mask=there, other=0.0)[None, :]
    q = tl.load(back_ptr + high, mask=there, other=0.0)[None, :]
    row = tl.program_id(0) * rows + tl.arange(0, rows)
    mask = (row < pixels)[:, None] & there[None, :]
    place = sample.to(tl.int64) * pixels * channels + row[:, None] * channels + channel[None, :]
    x = tl.load(x_ptr + place, mask=mask, other=0.0).to(tl.float32)
    dy = tl.load(dy_ptr + place, mask=mask, other=0.0).to(tl.float32)
    dx = a * dy * _slope(a * x + s, act) + p * x + q
    if has_beside:
        dx += tl.load(beside_ptr + place, mask=mask, other=0.0).to(tl.float32)
    tl.store(dx_ptr + place, dx, mask=mask)


@triton.jit
def add_kernel(
    h_ptr, bias_ptr, x_ptr, y_ptr, count, channels,
    has_x: tl.constexpr, rows: tl.constexpr, wide: tl.constexpr,
):  # fmt: skip
    """y = h + bias[channel] (+ x); count: pixels of all samples."""
    blocks = tl.cdiv(channels, wide)
    row = (tl.program_id(0) // blocks) * rows + tl.arange(0, rows)
    channel = (tl.program_id(0) % blocks) * wide + tl.arange(0, wide)
    there = channel < channels
    mask = (row < count)[:, None] & there[None, :]
    place = row.to(tl.int64)[:, None] * channels + channel[None, :]
    bias = tl.load(bias_ptr + channel, mask=there, other=0.0).to(tl.float32)
    y = tl.load(h_ptr + place, mask=mask, other=0.0).to(tl.float32) + bias[None, :]
    if has_x:
        y += tl.load(x_ptr + place, mask=mask, other=0.0).to(tl.float32)
    tl.store(y_ptr + place, y, mask=mask)


@triton.jit
def upsample_kernel(x_ptr, y_ptr, count, width, channels, rows: tl.constexpr, wide: tl.constexpr):
    """Each pixel four times: (B, h, w, C) to (B, 2 h, 2 w, C). count: B h w."""
    blocks = tl.cdiv(channels, wide)
    row = (tl.program_id(0) // blocks) * rows + tl.arange(0, rows)
    channel = (tl.program_id(0) % blocks) * wide + tl.arange(0, wide)
    mask = (row < count)[:, None] & (channel < channels)[None, :]
    x = tl.load(x_ptr + row.to(tl.int64)[:, None] * channels + channel[None, :], mask=mask, other=0.0)
    line = row // width
    # Lines of all samples follow one another, in the larger map too.
    larger = line.to(tl.int64) * 4 * width + (row - line * width) * 2
    place = y_ptr + larger[:, None] * channels + channel[None, :]
    below = 2 * width * channels
    tl.store(place, x, mask=mask)
    tl.store(place + channels, x, mask=mask)
    tl.store(place + below, x, mask=mask)
    tl.store(place + below + channels, x, mask=mask)
