# SPDX-License-Identifier: GPL-3.0-or-later
# mypy: allow-untyped-defs, allow-untyped-calls
# (what @triton.jit compiles has Triton's types, not Python's)
"""Triton kernels over tokens: rows of contiguous channels."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def layer_norm_kernel(
    x_ptr, h_ptr, bias_ptr, later_ptr, weight_ptr, shift_ptr, sum_ptr, y_ptr, count, channels, eps,
    has_h: tl.constexpr, has_later: tl.constexpr, rows: tl.constexpr, wide: tl.constexpr,
):  # fmt: skip
    """y = LayerNorm(x), or (has_h) y = LayerNorm(x + h + bias) and sum = x + h + bias (+ later).

    later: a bias of what will be added next, which has no other kernel to ride in.
    """
    row = tl.program_id(0) * rows + tl.arange(0, rows)
    column = tl.arange(0, wide)
    there = column < channels
    mask = (row < count)[:, None] & there[None, :]
    place = row.to(tl.int64)[:, None] * channels + column[None, :]
    x = tl.load(x_ptr + place, mask=mask, other=0.0).to(tl.float32)
    if has_h:
        x += tl.load(h_ptr + place, mask=mask, other=0.0).to(tl.float32)
        x += tl.load(bias_ptr + column, mask=there, other=0.0).to(tl.float32)[None, :]
        kept = x
        if has_later:
            kept = x + tl.load(later_ptr + column, mask=there, other=0.0).to(tl.float32)[None, :]
        tl.store(sum_ptr + place, kept, mask=mask)
    mean = tl.sum(x, 1) / channels
    centred = tl.where(there[None, :], x - mean[:, None], 0.0)
    rstd = 1.0 / tl.sqrt(tl.sum(centred * centred, 1) / channels + eps)
    weight = tl.load(weight_ptr + column, mask=there, other=0.0).to(tl.float32)
    shift = tl.load(shift_ptr + column, mask=there, other=0.0).to(tl.float32)
    tl.store(y_ptr + place, centred * rstd[:, None] * weight[None, :] + shift[None, :], mask=mask)


@triton.jit
def geglu_kernel(h_ptr, y_ptr, count, width, rows: tl.constexpr, wide: tl.constexpr):
    """y = value gelu(gate); a row of h is (value, gate), each of `width` numbers."""
    blocks = tl.cdiv(width, wide)
    row = (tl.program_id(0) // blocks) * rows + tl.arange(0, rows)
    column = (tl.program_id(0) % blocks) * wide + tl.arange(0, wide)
    mask = (row < count)[:, None] & (column < width)[None, :]
    first = row.to(tl.int64)[:, None] * width
    place = first * 2 + column[None, :]
    value = tl.load(h_ptr + place, mask=mask, other=0.0).to(tl.float32)
    gate = tl.load(h_ptr + place + width, mask=mask, other=0.0).to(tl.float32)
    y = value * 0.5 * gate * (1.0 + tl.erf(gate * 0.7071067811865476))
    tl.store(y_ptr + first + column[None, :], y, mask=mask)
