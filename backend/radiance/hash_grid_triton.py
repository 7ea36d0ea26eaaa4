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

FEATURES = 2
_BLOCK = 256


@triton.jit
def _level(scale_ptr, geometry_ptr, level):
    """A level's facts, in the order of `HashGrid.geometry` after the scale."""
    facts = geometry_ptr + level * 4
    return (
        tl.load(scale_ptr + level),
        tl.load(facts),
        tl.load(facts + 1),
        tl.load(facts + 2),
        tl.load(facts + 3),
    )


@triton.jit
def corner_entry(cx, cy, cz, corner: tl.constexpr, resolution, size, offset, hashed):
    """Table entry of one of the 8 corners at the lowest one (cx, cy, cz); see `hash_grid.entry_index`.

    Without its two modulos: a hashed level's size is a power of two, and a dense one is overrun by less than
    its size.
    """
    cx, cy, cz = cx + (corner & 1), cy + ((corner >> 1) & 1), cz + (corner >> 2)
    mixed = cx.to(tl.uint32) ^ (cy.to(tl.uint32) * 2654435761) ^ (cz.to(tl.uint32) * 805459861)
    plain = cx + (cy + cz * resolution) * resolution
    plain = tl.where(plain >= size, plain - size, plain)
    return tl.where(hashed != 0, mixed.to(tl.int32) & (size - 1), plain) + offset


@triton.jit
def _locate(x_ptr, row, inside, scale, resolution):
    """Lowest corner and fraction of each point in a level; corners stay within the level's memory."""
    px = tl.load(x_ptr + row * 3, mask=inside, other=0.0) * scale + 0.5
    py = tl.load(x_ptr + row * 3 + 1, mask=inside, other=0.0) * scale + 0.5
    pz = tl.load(x_ptr + row * 3 + 2, mask=inside, other=0.0) * scale + 0.5
    ix, iy, iz = tl.floor(px), tl.floor(py), tl.floor(pz)
    cx, cy, cz = ix.to(tl.int32), iy.to(tl.int32), iz.to(tl.int32)
    last = resolution - 1
    cx, cy, cz = _between(cx, last), _between(cy, last), _between(cz, last)
    return cx, cy, cz, px - ix, py - iy, pz - iz


@triton.jit
def _between(corner, last):
    return tl.minimum(tl.maximum(corner, 0), last)


@triton.jit
def _side(fraction, bit: tl.constexpr):
    """Weight of one axis: the fraction for the upper corner, the rest for the lower."""
    if bit:
        return fraction
    else:
        return 1.0 - fraction


@triton.jit
def corner_weight(fx, fy, fz, vx, vy, vz, scale, corner: tl.constexpr, along: tl.constexpr):
    """w_c, or its derivative along v."""
    wx, wy, wz = _side(fx, corner & 1), _side(fy, (corner >> 1) & 1), _side(fz, corner >> 2)
    if along:
        sx: tl.constexpr = 1.0 if corner & 1 else -1.0
        sy: tl.constexpr = 1.0 if (corner >> 1) & 1 else -1.0
        sz: tl.constexpr = 1.0 if corner >> 2 else -1.0
        return scale * (vx * sx * wy * wz + vy * sy * wx * wz + vz * sz * wx * wy)
    else:
        return wx * wy * wz


@triton.jit
def _direction(v_ptr, row, inside, along: tl.constexpr):
    if along:
        vx = tl.load(v_ptr + row * 3, mask=inside, other=0.0)
        vy = tl.load(v_ptr + row * 3 + 1, mask=inside, other=0.0)
        vz = tl.load(v_ptr + row * 3 + 2, mask=inside, other=0.0)
        return vx, vy, vz
    else:
        return 0.0, 0.0, 0.0


@triton.jit
def read_pair(table_ptr, entry, inside, half: tl.constexpr):
    """Both features of a table entry by one load: two float16 as an int32, or two float32 as an int64."""
    if half:
        bits = tl.load(table_ptr + entry, mask=inside, other=0)
        low = (bits & 0xFFFF).to(tl.uint16).to(tl.float16, bitcast=True)
        high = ((bits >> 16) & 0xFFFF).to(tl.uint16).to(tl.float16, bitcast=True)
        return low.to(tl.float32), high.to(tl.float32)
    else:
        bits = tl.load(table_ptr + entry, mask=inside, other=0)
        low = (bits & 0xFFFFFFFF).to(tl.uint32).to(tl.float32, bitcast=True)
        high = ((bits >> 32) & 0xFFFFFFFF).to(tl.uint32).to(tl.float32, bitcast=True)
        return low, high


@triton.jit
def add_pair(gradient_ptr, entry, a, b, inside, vector: tl.constexpr):
    """Adds to both features of a table entry: one instruction where the card has it (Hopper and later)."""
    place = gradient_ptr + entry * 2
    if vector:
        tl.inline_asm_elementwise(
            "{ .reg .pred p; setp.ne.b32 p, $4, 0; @p red.global.add.v2.f32 [$1], {$2, $3}; mov.b32 $0, 0; }",
            "=r,l,f,f,r",
            [place.to(tl.int64), a, b, inside.to(tl.int32)],
            dtype=tl.int32,
            is_pure=False,
            pack=1,
        )
    else:
        tl.atomic_add(place, a, mask=inside, sem="relaxed")
        tl.atomic_add(place + 1, b, mask=inside, sem="relaxed")


@triton.jit
def _gather_kernel(
    x_ptr, v_ptr, table_ptr, y_ptr, scale_ptr, geometry_ptr, count, width,
    along: tl.constexpr, half: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    level = tl.program_id(1)
    row = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    inside = row < count
    scale, resolution, size, offset, hashed = _level(scale_ptr, geometry_ptr, level)
    cx, cy, cz, fx, fy, fz = _locate(x_ptr, row, inside, scale, resolution)
    vx, vy, vz = _direction(v_ptr, row, inside, along)
    y0 = tl.zeros([block], tl.float32)
    y1 = tl.zeros([block], tl.float32)
    for corner in tl.static_range(8):
        weight = corner_weight(fx, fy, fz, vx, vy, vz, scale, corner, along)
        entry = corner_entry(cx, cy, cz, corner, resolution, size, offset, hashed)
        a, b = read_pair(table_ptr, entry, inside, half)
        y0 += weight * a
        y1 += weight * b
    tl.store(y_ptr + row * width + level * 2, y0, mask=inside)
    tl.store(y_ptr + row * width + level * 2 + 1, y1, mask=inside)


@triton.jit
def _scatter_kernel(
    x_ptr, v_ptr, g_ptr, dtable_ptr, scale_ptr, geometry_ptr, count, width,
    along: tl.constexpr, vector: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    level = tl.program_id(1)
    row = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    inside = row < count
    scale, resolution, size, offset, hashed = _level(scale_ptr, geometry_ptr, level)
    cx, cy, cz, fx, fy, fz = _locate(x_ptr, row, inside, scale, resolution)
    vx, vy, vz = _direction(v_ptr, row, inside, along)
    g0 = tl.load(g_ptr + row * width + level * 2, mask=inside, other=0.0)
    g1 = tl.load(g_ptr + row * width + level * 2 + 1, mask=inside, other=0.0)
    for corner in tl.static_range(8):
        weight = corner_weight(fx, fy, fz, vx, vy, vz, scale, corner, along)
        entry = corner_entry(cx, cy, cz, corner, resolution, size, offset, hashed)
        add_pair(dtable_ptr, entry, weight * g0, weight * g1, inside, vector)


@triton.jit
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
        scale, resolution, size, offset, hashed = _level(scale_ptr, geometry_ptr, level)
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
        _gather_kernel[_per_level(count, levels)](
            x, x if v is None else v, as_pairs(table), y, scales, geometry, count, y.shape[1],
            along=v is not None, half=table.dtype == torch.float16, block=_BLOCK,
        )  # fmt: skip
    return y


def scatter(
    x: Tensor, g: Tensor, into: Tensor, scales: Tensor, geometry: Tensor, v: Tensor | None = None
) -> None:
    """Adds to `into` (the table's shape, float32) the gradient of sum(g * gather(x, table, v))."""
    count, levels = x.shape[0], scales.shape[0]
    if count:
        _scatter_kernel[_per_level(count, levels)](
            x, x if v is None else v, g, into, scales, geometry, count, g.shape[1],
            along=v is not None, vector=adds_pairs(x.device), block=_BLOCK,
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


def _per_level(count: int, levels: int) -> tuple[int, int]:
    # Neighbouring programs work on one level, whose table then stays in the cache.
    return triton.cdiv(count, _BLOCK), levels
