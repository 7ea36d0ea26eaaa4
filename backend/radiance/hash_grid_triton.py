# SPDX-License-Identifier: GPL-3.0-or-later
# mypy: allow-untyped-defs, allow-untyped-calls
# (what @triton.jit compiles has Triton's types, not Python's)
"""The hash grid's three passes as Triton kernels: no compiler or toolkit on the user's machine.

With w_c(x) the trilinear weight of corner c and T its table entry, a level gives y = sum_c w_c T_c. Its
derivative along v is the same sum with the weights u_c = v · grad w_c. So two kernels serve four purposes:

    gather   y (weights w),  and d y along v (weights u)
    scatter  dL/dT of the first, and of the second

and `pull back` gives J^T g, the gradient with respect to positions. What analytic normals need to be trained
(the derivative of J^T g in T and g) is a scatter and a gather with u.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from backend.radiance.grid_kernels import (
    add_pair,
    all_levels,
    cell,
    cell_along,
    corner_entry,
    corner_weight,
    joined,
    level_facts,
    load_vector,
    read_pair,
    slot_entry,
    slot_slope,
    slots,
)

FEATURES = 2
_BLOCK, _GATHER_BLOCK, _SCATTER_BLOCK = 256, 16, 16


@triton.jit
def _locate(x_ptr, row, inside, scale, resolution):
    """Lowest corner and fraction of each point in a level."""
    x, y, z = load_vector(x_ptr, row, inside)
    cx, fx = cell_along(x, scale, resolution)
    cy, fy = cell_along(y, scale, resolution)
    cz, fz = cell_along(z, scale, resolution)
    return cx, cy, cz, fx, fy, fz


@triton.jit
def _direction(v_ptr, row, inside, along: tl.constexpr):
    if along:
        return load_vector(v_ptr, row, inside)
    else:
        return 0.0, 0.0, 0.0


@triton.jit(do_not_specialize=["count"])
def _gather_kernel(
    x_ptr, v_ptr, table_ptr, y_ptr, scale_ptr, geometry_ptr, count, levels,
    along: tl.constexpr, half: tl.constexpr, lp: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    known = row < count
    scale, resolution, size, offset, hashed, exists = all_levels(scale_ptr, geometry_ptr, levels, lp)
    x, y, z = load_vector(x_ptr, row, known)
    cx, fx = cell(x, scale, resolution)
    cy, fy = cell(y, scale, resolution)
    cz, fz = cell(z, scale, resolution)
    vx, vy, vz = _direction(v_ptr, row[:, None], known[:, None], along)
    inside = known[:, None] & exists
    sum_a = tl.zeros([block, lp], tl.float32)
    sum_b = tl.zeros([block, lp], tl.float32)
    for corner in tl.static_range(8):
        weight = corner_weight(fx, fy, fz, vx, vy, vz, scale, corner, along)
        entry = corner_entry(cx, cy, cz, corner, resolution, size, offset, hashed)
        a, b = read_pair(table_ptr, entry, inside, half)
        sum_a += weight * a
        sum_b += weight * b
    feature = tl.arange(0, 2 * lp)[None, :]
    place = y_ptr + row[:, None] * (levels * 2) + feature
    tl.store(place, joined(sum_a, sum_b, block, lp), mask=known[:, None] & (feature < levels * 2))


@triton.jit(do_not_specialize=["count"])
def _scatter_kernel(
    x_ptr, v_ptr, g_ptr, dtable_ptr, scale_ptr, geometry_ptr, count, width,
    along: tl.constexpr, vector: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    level = tl.program_id(1)
    row = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    inside = row < count
    scale, resolution, size, offset, hashed = level_facts(scale_ptr, geometry_ptr, level)
    x, y, z = load_vector(x_ptr, row, inside)
    cx, cy, cz, wx, wy, wz, sx, sy, sz = slots(x, y, z, scale, resolution)
    weight = wx * wy * wz
    if along:
        vx, vy, vz = load_vector(v_ptr, row, inside)
        weight = scale * slot_slope(vx, vy, vz, wx, wy, wz, sx, sy, sz)
    g0 = tl.load(g_ptr + row * width + level * 2, mask=inside, other=0.0)
    g1 = tl.load(g_ptr + row * width + level * 2 + 1, mask=inside, other=0.0)
    # The corners side by side: neighbours in memory then go there by one instruction.
    entry = slot_entry(cx, cy, cz, resolution, size, offset, hashed)
    everywhere = tl.broadcast_to(inside[:, None], [block, 8])
    add_pair(dtable_ptr, entry, weight * g0[:, None], weight * g1[:, None], everywhere, vector)


@triton.jit(do_not_specialize=["count"])
def _pull_back_kernel(
    x_ptr,
    table_ptr,
    g_ptr,
    dx_ptr,
    scale_ptr,
    geometry_ptr,
    count,
    width,
    levels,
    half: tl.constexpr,
    block: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    inside = row < count
    dx = tl.zeros([block], tl.float32)
    dy = tl.zeros([block], tl.float32)
    dz = tl.zeros([block], tl.float32)
    for level in range(levels):
        scale, resolution, size, offset, hashed = level_facts(scale_ptr, geometry_ptr, level)
        cx, cy, cz, fx, fy, fz = _locate(x_ptr, row, inside, scale, resolution)
        g0 = tl.load(g_ptr + row * width + level * 2, mask=inside, other=0.0)
        g1 = tl.load(g_ptr + row * width + level * 2 + 1, mask=inside, other=0.0)
        for corner in tl.static_range(8):
            entry = corner_entry(cx, cy, cz, corner, resolution, size, offset, hashed)
            a, b = read_pair(table_ptr, entry, inside, half)
            value = g0 * a + g1 * b
            dx += value * corner_weight(fx, fy, fz, 1.0, 0.0, 0.0, scale, corner, True)
            dy += value * corner_weight(fx, fy, fz, 0.0, 1.0, 0.0, scale, corner, True)
            dz += value * corner_weight(fx, fy, fz, 0.0, 0.0, 1.0, scale, corner, True)
    tl.store(dx_ptr + row * 3, dx, mask=inside)
    tl.store(dx_ptr + row * 3 + 1, dy, mask=inside)
    tl.store(dx_ptr + row * 3 + 2, dz, mask=inside)


def as_pairs(table: Tensor) -> Tensor:
    """A table of float16 or float32 as one integer an entry, for `read_pair`."""
    return table.detach().view(torch.int32 if table.dtype == torch.float16 else torch.int64)


@functools.cache
def adds_pairs(device: torch.device) -> bool:
    """Whether the card adds two neighbouring numbers by one instruction (Hopper and later)."""
    if device.type != "cuda" or torch.version.hip is not None:
        return False
    return torch.cuda.get_device_capability(device) >= (9, 0)


def gather(x: Tensor, table: Tensor, scales: Tensor, geometry: Tensor, v: Tensor | None = None) -> Tensor:
    """Features (N, L F) of positions x (N, 3) in 0..1, or their derivative along v (N, 3)."""
    count, levels = x.shape[0], scales.shape[0]
    y = torch.empty(count, levels * FEATURES, device=x.device, dtype=torch.float32)
    if count:
        _gather_kernel[(triton.cdiv(count, _GATHER_BLOCK),)](
            x, x if v is None else v, as_pairs(table), y, scales, geometry, count, levels,
            along=v is not None, half=table.dtype == torch.float16,
            lp=max(2, triton.next_power_of_2(levels)), block=_GATHER_BLOCK,
        )  # fmt: skip
    return y


def scatter(
    x: Tensor, g: Tensor, into: Tensor, scales: Tensor, geometry: Tensor, v: Tensor | None = None
) -> None:
    """Adds to `into` (the table's shape, float32) the gradient of sum(g * gather(x, table, v))."""
    count, levels = x.shape[0], scales.shape[0]
    if count:
        # Neighbouring programs work on one level, whose table then stays in the cache.
        _scatter_kernel[(triton.cdiv(count, _SCATTER_BLOCK), levels)](
            x, x if v is None else v, g, into, scales, geometry, count, g.shape[1],
            along=v is not None, vector=adds_pairs(x.device), block=_SCATTER_BLOCK,
        )  # fmt: skip


def pull_back(x: Tensor, table: Tensor, g: Tensor, scales: Tensor, geometry: Tensor) -> Tensor:
    """Gradient (N, 3) of sum(g * gather(x, table)) with respect to x."""
    count, levels = x.shape[0], scales.shape[0]
    dx = torch.empty(count, 3, device=x.device, dtype=torch.float32)
    if count:
        _pull_back_kernel[(triton.cdiv(count, _BLOCK),)](
            x,
            as_pairs(table),
            g,
            dx,
            scales,
            geometry,
            count,
            g.shape[1],
            levels,
            half=table.dtype == torch.float16,
            block=_BLOCK,
        )
    return dx


class Encode(torch.autograd.Function):
    """`gather` with gradients to table and positions; those are not differentiable again: see PullBack."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, table: Tensor, scales: Tensor, geometry: Tensor, half: bool) -> Tensor:
        read = table.half() if half else table
        ctx.save_for_backward(x, read, scales, geometry)
        return gather(x, read, scales, geometry)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, table, scales, geometry = ctx.saved_tensors
        g = gradients[0].contiguous()
        dx = pull_back(x, table, g, scales, geometry) if ctx.needs_input_grad[0] else None
        dtable = None
        if ctx.needs_input_grad[1]:
            dtable = torch.zeros_like(table, dtype=torch.float32)
            scatter(x, g, dtable, scales, geometry)
        return dx, dtable, None, None, None


class PullBack(torch.autograd.Function):
    """J^T g (N, 3) of the encoding at x, differentiable in the table and in g."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, table: Tensor, g: Tensor, scales: Tensor, geometry: Tensor, half: bool
    ) -> Tensor:
        g = g.contiguous()
        read = table.half() if half else table
        ctx.save_for_backward(x, read, g, scales, geometry)
        return pull_back(x, read, g, scales, geometry)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, table, g, scales, geometry = ctx.saved_tensors
        v = gradients[0].contiguous()
        dtable, dg = None, None
        if ctx.needs_input_grad[1]:
            dtable = torch.zeros_like(table, dtype=torch.float32)
            scatter(x, g, dtable, scales, geometry, v)
        if ctx.needs_input_grad[2]:
            dg = gather(x, table, scales, geometry, v)
        return None, dtable, dg, None, None, None
