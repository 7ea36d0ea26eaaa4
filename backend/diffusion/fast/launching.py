# SPDX-License-Identifier: GPL-3.0-or-later
"""Tensors to the kernels: grids, block sizes, buffers. Maps are (B, C, h, w), channels-last and dense."""

from __future__ import annotations

import torch
import triton
from torch import Tensor

from backend.diffusion.fast import kernels

_ROWS = 32
_PROGRAMS = 1024
"""How many to spread a map's sums over: several for each multiprocessor of a large card."""
_BLOCK = 1024


def _wide(channels: int) -> int:
    """Channels a program takes: a power of two, with little left over."""
    for wide in (128, 64):
        if channels % wide == 0:
            return wide
    return min(64, triton.next_power_of_2(channels))


def _sums(x: Tensor, dy: Tensor | None, factors: Tensor | None, act: bool) -> tuple[Tensor, int]:
    batch, channels, pixels = x.shape[0], x.shape[1], x.shape[2] * x.shape[3]
    wide = _wide(channels)
    blocks = triton.cdiv(channels, wide)
    wanted = max(1, min(128, _PROGRAMS // (batch * blocks)))
    per_split = triton.cdiv(triton.cdiv(pixels, wanted), _ROWS) * _ROWS
    splits = triton.cdiv(pixels, per_split)
    partial = torch.empty(batch, splits, 2, channels, device=x.device)
    kernels.sums_kernel[(splits, blocks, batch)](
        x, x if dy is None else dy, partial if factors is None else factors, partial,
        pixels, channels, splits, per_split, act=act, back=dy is not None, rows=_ROWS, wide=wide,
    )  # fmt: skip
    return partial, splits


def normalize(
    x: Tensor, bias: Tensor | None, groups: int, weight: Tensor, shift: Tensor, eps: float, act: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """(y, factors, moments): the normalised map, and what `normalize_back` needs.

    bias: (1 or B, C), added before; act: SiLU after.
    """
    batch, channels, height, width = x.shape
    pixels, group = height * width, channels // groups
    partial, splits = _sums(x, None, None, act)
    factors = torch.empty(batch, 2, channels, device=x.device)
    moments = torch.empty(batch, groups, 2, device=x.device)
    kernels.factors_kernel[(groups, batch)](
        partial, partial if bias is None else bias, weight, shift, factors, moments,
        pixels, channels, splits, _stride(bias), eps, group=group, has_bias=bias is not None,
        split_wide=triton.next_power_of_2(splits), group_wide=triton.next_power_of_2(group),
    )  # fmt: skip
    y = torch.empty_like(x)
    wide = _wide(channels)
    kernels.apply_kernel[(triton.cdiv(pixels, _ROWS), triton.cdiv(channels, wide), batch)](
        x, factors, y, pixels, channels, act=act, rows=_ROWS, wide=wide
    )
    return y, factors, moments


def normalize_back(
    x: Tensor,
    dy: Tensor,
    beside: Tensor | None,
    bias: Tensor | None,
    weight: Tensor,
    factors: Tensor,
    moments: Tensor,
    act: bool,
) -> Tensor:
    """Gradient of the map that went into `normalize`, plus `beside` where there is one."""
    batch, channels, height, width = x.shape
    pixels, groups = height * width, moments.shape[1]
    group = channels // groups
    partial, splits = _sums(x, dy, factors, act)
    back = torch.empty_like(factors)
    kernels.back_factors_kernel[(groups, batch)](
        partial, partial if bias is None else bias, weight, moments, back,
        pixels, channels, splits, _stride(bias), group=group, has_bias=bias is not None,
        split_wide=triton.next_power_of_2(splits), group_wide=triton.next_power_of_2(group),
    )  # fmt: skip
    dx = torch.empty_like(x)
    wide = _wide(channels)
    kernels.back_kernel[(triton.cdiv(pixels, _ROWS), triton.cdiv(channels, wide), batch)](
        x, dy, x if beside is None else beside, factors, back, dx, pixels, channels,
        act=act, has_beside=beside is not None, rows=_ROWS, wide=wide,
    )  # fmt: skip
    return dx


def add_bias(h: Tensor, bias: Tensor, x: Tensor | None) -> Tensor:
    """h + bias (+ x); bias: (C,)."""
    y = torch.empty_like(h)
    kernels.add_kernel[(triton.cdiv(h.numel(), _BLOCK),)](
        h, bias, h if x is None else x, y, h.numel(), h.shape[1], has_x=x is not None, block=_BLOCK
    )
    return y


def geglu(h: Tensor) -> Tensor:
    """(…, 2 W) -> (…, W): value times gelu(gate). h: contiguous."""
    width = h.shape[-1] // 2
    y = h.new_empty(*h.shape[:-1], width)
    kernels.geglu_kernel[(h.numel() // (2 * width), triton.cdiv(width, _BLOCK))](h, y, width, block=_BLOCK)
    return y


def _stride(bias: Tensor | None) -> int:
    return 0 if bias is None or bias.shape[0] == 1 else bias.shape[1]
