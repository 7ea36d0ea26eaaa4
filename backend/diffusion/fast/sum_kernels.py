# SPDX-License-Identifier: GPL-3.0-or-later
# mypy: allow-untyped-defs, allow-untyped-calls
# (what @triton.jit compiles has Triton's types, not Python's)
"""Kernels that write a map and, while they have it, the sums its GroupNorm will ask for.

partial: (B, splits, 2, C), the sums of y and y² over the pixels of a split. Of y as it is stored: of exact
numbers the norm would have another mean than the map.
"""

from __future__ import annotations

import triton
import triton.language as tl

from backend.diffusion.fast.kernels import store_sums


@triton.jit
def add_kernel(
    h_ptr, bias_ptr, x_ptr, y_ptr, partial_ptr, pixels, channels, splits, per_split,
    has_x: tl.constexpr, rows: tl.constexpr, wide: tl.constexpr, stages: tl.constexpr,
):  # fmt: skip
    """y = h + bias[channel] (+ x). per_split: a multiple of rows."""
    channel = tl.program_id(1) * wide + tl.arange(0, wide)
    there = channel < channels
    bias = tl.load(bias_ptr + channel, mask=there, other=0.0).to(tl.float32)[None, :]
    first = tl.zeros([rows, wide], tl.float32)
    second = tl.zeros([rows, wide], tl.float32)
    start = tl.program_id(0) * per_split
    end = tl.minimum(start + per_split, pixels)
    sample = tl.program_id(2).to(tl.int64) * pixels * channels
    for at in tl.range(start, end, rows, num_stages=stages):
        row = at + tl.arange(0, rows)
        mask = (row < end)[:, None] & there[None, :]
        place = sample + row[:, None] * channels + channel[None, :]
        y = tl.load(h_ptr + place, mask=mask, other=0.0).to(tl.float32) + bias
        if has_x:
            y += tl.load(x_ptr + place, mask=mask, other=0.0).to(tl.float32)
        stored = y.to(y_ptr.dtype.element_ty)
        tl.store(y_ptr + place, stored, mask=mask)
        y = tl.where(mask, stored.to(tl.float32), 0.0)
        first += y
        second += y * y
    store_sums(partial_ptr, tl.sum(first, 0), tl.sum(second, 0), channel, there, channels, splits)


@triton.jit
def first_conv_kernel(
    x_ptr, weight_ptr, bias_ptr, y_ptr, partial_ptr, height, width, channels, splits, per_split,
    few: tl.constexpr, numbers: tl.constexpr, precise: tl.constexpr, rows: tl.constexpr, wide: tl.constexpr,
):  # fmt: skip
    """y = bias + 3 x 3 convolution with a rim of zeros, of maps with few channels.

    numbers: the 9 few that a pixel is made of, padded to a power of two; weight: (C, 9 few), the numbers in
    the order in which a channels-last map and weight have them.
    """
    channel = tl.program_id(1) * wide + tl.arange(0, wide)
    there = channel < channels
    number = tl.arange(0, numbers)
    real = number < 9 * few
    tap = number // few
    down, right = tap // 3 - 1, tap % 3 - 1
    weight = tl.load(
        weight_ptr + channel[None, :] * (9 * few) + number[:, None],
        mask=real[:, None] & there[None, :], other=0.0,
    )  # fmt: skip
    bias = tl.load(bias_ptr + channel, mask=there, other=0.0).to(tl.float32)[None, :]
    pixels = height * width
    start = tl.program_id(0) * per_split
    end = tl.minimum(start + per_split, pixels)
    sample = tl.program_id(2).to(tl.int64) * pixels
    first = tl.zeros([wide], tl.float32)
    second = tl.zeros([wide], tl.float32)
    for at in range(start, end, rows):
        pixel = at + tl.arange(0, rows)
        line = (pixel // width)[:, None] + down[None, :]
        place = (pixel % width)[:, None] + right[None, :]
        inside = (line >= 0) & (line < height) & (place >= 0) & (place < width)
        near = (sample + line * width + place) * few + (number % few)[None, :]
        mask = inside & real[None, :] & (pixel < end)[:, None]
        x = tl.load(x_ptr + near, mask=mask, other=0.0)
        y = tl.dot(x, weight, input_precision="ieee" if precise else "tf32") + bias
        stored = y.to(y_ptr.dtype.element_ty)
        mask = (pixel < end)[:, None] & there[None, :]
        tl.store(y_ptr + (sample + pixel[:, None]) * channels + channel[None, :], stored, mask=mask)
        y = tl.where(mask, stored.to(tl.float32), 0.0)
        first += tl.sum(y, 0)
        second += tl.sum(y * y, 0)
    store_sums(partial_ptr, first, second, channel, there, channels, splits)
