# SPDX-License-Identifier: GPL-3.0-or-later
"""Tensors to the kernels: grids, block sizes, buffers. Maps are (B, C, h, w), channels-last and dense."""

from __future__ import annotations

import torch
import triton
from torch import Tensor

from backend.diffusion.fast import kernels, sum_kernels, token_kernels

_TILE = 2048
"""Numbers of a map in one program of four warps: 16 a thread, two loads of 16 bytes."""
_SUMMED, _STAGES = 4096, 3
"""Numbers that a program of sums takes at a time, and how many times of these are under way."""
_PROGRAMS = 2048
"""How many to spread a map's sums over: several for each multiprocessor of a large card."""
_SPLITS = 256
_TOKENS = 2
"""Tokens in one program."""
_WHOLE = 16384
"""Numbers of a group that a program can keep: 64 a thread in eight warps."""
_GROUPS = 32
_ADDED, _CONVOLVED = 4096, 4096
"""As _SUMMED, where the map is made as well."""
_MOST_NUMBERS = 64
"""That a pixel of `first_conv` is made of."""


def _wide(channels: int) -> int:
    """Channels a program takes: a power of two, with little left over."""
    for wide in (128, 64):
        if channels % wide == 0:
            return wide
    return min(64, triton.next_power_of_2(channels))


def _sums(x: Tensor, dy: Tensor | None, factors: Tensor | None, act: bool) -> Tensor:
    batch, channels, pixels = x.shape[0], x.shape[1], x.shape[2] * x.shape[3]
    wide, rows, per_split, splits = _split(x, _SUMMED, min(64, _wide(channels)))
    partial = torch.empty(batch, splits, 2, channels, device=x.device)
    kernels.sums_kernel[(splits, triton.cdiv(channels, wide), batch)](
        x, x if dy is None else dy, partial if factors is None else factors, partial,
        pixels, channels, splits, per_split, act=act, back=dy is not None,
        rows=rows, wide=wide, stages=_STAGES,
    )  # fmt: skip
    return partial


def _split(x: Tensor, tile: int, wide: int) -> tuple[int, int, int, int]:
    """How a map's sums are spread: channels of a program, pixels at a time, pixels of a split, splits."""
    pixels, rows = x.shape[2] * x.shape[3], tile // wide
    wanted = max(1, min(_SPLITS, _PROGRAMS // (x.shape[0] * triton.cdiv(x.shape[1], wide))))
    per_split = triton.cdiv(triton.cdiv(pixels, wanted), rows) * rows
    return wide, rows, per_split, triton.cdiv(pixels, per_split)


def normalize(
    x: Tensor,
    bias: Tensor | None,
    groups: int,
    weight: Tensor,
    shift: Tensor,
    eps: float,
    act: bool,
    whole: bool | None = None,
    partial: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """(y, factors, moments): the normalised map, and what `normalize_back` needs.

    bias: (1 or B, C), added before; act: SiLU after. whole: in one kernel, or in three; by size if None.
    partial: x's sums (B, splits, 2, C), if they are known.
    """
    batch, channels, height, width = x.shape
    pixels, group = height * width, channels // groups
    group_wide = triton.next_power_of_2(group)
    y = torch.empty_like(x)
    factors = torch.empty(batch, 2, channels, device=x.device)
    moments = torch.empty(batch, groups, 2, device=x.device)
    rows = triton.next_power_of_2(pixels)
    if not _is_large(x, groups) if whole is None else whole:
        kernels.whole_kernel[(groups, batch)](
            x, x if bias is None else bias, weight, shift, y, factors, moments,
            _stride(bias), eps, pixels=pixels, channels=channels, group=group, has_bias=bias is not None,
            act=act, rows=rows, group_wide=group_wide, num_warps=max(1, min(8, rows * group_wide // 1024)),
        )  # fmt: skip
        return y, factors, moments
    partial = _sums(x, None, None, act) if partial is None else partial
    splits = partial.shape[1]
    kernels.factors_kernel[(groups, batch)](
        partial, partial if bias is None else bias, weight, shift, factors, moments,
        pixels, channels, splits, _stride(bias), eps, group=group, has_bias=bias is not None,
        split_wide=triton.next_power_of_2(splits), group_wide=group_wide,
    )  # fmt: skip
    wide = _wide(channels)
    rows = 2 * _TILE // wide
    kernels.apply_kernel[(triton.cdiv(pixels, rows), triton.cdiv(channels, wide), batch)](
        x, factors, y, pixels, channels, act=act, rows=rows, wide=wide
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
    partial = _sums(x, dy, factors, act)
    splits = partial.shape[1]
    back = torch.empty_like(factors)
    kernels.back_factors_kernel[(groups, batch)](
        partial, partial if bias is None else bias, weight, moments, back,
        pixels, channels, splits, _stride(bias), group=group, has_bias=bias is not None,
        split_wide=triton.next_power_of_2(splits), group_wide=triton.next_power_of_2(group),
    )  # fmt: skip
    dx = torch.empty_like(x)
    wide = _wide(channels)
    rows = _TILE // wide
    kernels.back_kernel[(triton.cdiv(pixels, rows), triton.cdiv(channels, wide), batch)](
        x, dy, x if beside is None else beside, factors, back, dx, pixels, channels,
        act=act, has_beside=beside is not None, rows=rows, wide=wide,
    )  # fmt: skip
    return dx


def _is_large(x: Tensor, groups: int) -> bool:
    """Whether a group of a map's channels is too much for one program."""
    pixels = triton.next_power_of_2(x.shape[2] * x.shape[3])
    return pixels * triton.next_power_of_2(triton.cdiv(x.shape[1], groups)) > _WHOLE


def sums_pay(x: Tensor) -> bool:
    """Whether the norm of such a map, of as many groups as all of these networks have, asks for sums."""
    return _is_large(x, _GROUPS)


def add_bias_and_sum(h: Tensor, bias: Tensor, x: Tensor | None) -> tuple[Tensor, Tensor]:
    """h + bias (+ x), and the sums of that, (B, splits, 2, C); bias: (C,)."""
    y = torch.empty_like(h)
    batch, channels, pixels = h.shape[0], h.shape[1], h.shape[2] * h.shape[3]
    wide, rows, per_split, splits = _split(h, _ADDED, _wide(channels))
    partial = torch.empty(batch, splits, 2, channels, device=h.device)
    sum_kernels.add_kernel[(splits, triton.cdiv(channels, wide), batch)](
        h, bias, h if x is None else x, y, partial, pixels, channels, splits, per_split,
        has_x=x is not None, rows=rows, wide=wide, stages=2,
    )  # fmt: skip
    return y, partial


def suits_first_conv(weight: Tensor, stride: tuple[int, ...], padding: tuple[int, ...]) -> bool:
    """Whether `first_conv` is for such a convolution: 3 x 3 of few channels, with a rim of zeros."""
    few = weight.shape[1] * 9 <= _MOST_NUMBERS and tuple(weight.shape[2:]) == (3, 3)
    return few and tuple(stride) == (1, 1) and tuple(padding) == (1, 1)


def first_conv(x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """The convolution plus bias, (B, C, h, w), and its sums, (B, splits, 2, C).

    x: (B, F, h, w); weight: (C, F, 3, 3), channels-last; bias: (C,).
    """
    batch, few, height, width = x.shape
    channels = weight.shape[0]
    y = torch.empty(
        (batch, channels, height, width),
        dtype=x.dtype, device=x.device, memory_format=torch.channels_last,
    )  # fmt: skip
    wide, rows, per_split, splits = _split(y, _CONVOLVED, _wide(channels))
    partial = torch.empty(batch, splits, 2, channels, device=x.device)
    sum_kernels.first_conv_kernel[(splits, triton.cdiv(channels, wide), batch)](
        x, weight, bias, y, partial, height, width, channels, splits, per_split,
        few=few, numbers=max(16, triton.next_power_of_2(9 * few)), precise=x.dtype == torch.float32,
        rows=rows, wide=wide,
    )  # fmt: skip
    return y, partial


def add_bias(h: Tensor, bias: Tensor, x: Tensor | None) -> Tensor:
    """h + bias (+ x); bias: (C,)."""
    y = torch.empty_like(h)
    count, rows, wide, programs = _spread(h)
    kernels.add_kernel[(programs,)](
        h, bias, h if x is None else x, y, count, h.shape[1], has_x=x is not None, rows=rows, wide=wide
    )
    return y


def upsample(x: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, C, 2 h, 2 w), nearest."""
    batch, channels, height, width = x.shape
    y = torch.empty(
        (batch, channels, 2 * height, 2 * width),
        dtype=x.dtype,
        device=x.device,
        memory_format=torch.channels_last,
    )
    count, rows, wide, programs = _spread(x)
    kernels.upsample_kernel[(programs,)](x, y, count, width, channels, rows=rows, wide=wide)
    return y


def _spread(x: Tensor) -> tuple[int, int, int, int]:
    """Pixels of a whole batch, those of a program, its channels, and how many programs that makes."""
    count, wide = x.numel() // x.shape[1], _wide(x.shape[1])
    rows = _TILE // wide
    return count, rows, wide, triton.cdiv(count, rows) * triton.cdiv(x.shape[1], wide)


def layer_norm(x: Tensor, weight: Tensor, shift: Tensor, eps: float) -> Tensor:
    """LayerNorm of tokens (…, C), contiguous."""
    y = torch.empty_like(x)
    _layer_norm(x, None, x, None, weight, shift, eps, x, y)
    return y


def add_layer_norm(
    x: Tensor, h: Tensor, bias: Tensor, later: Tensor | None, weight: Tensor, shift: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """(x + h + bias (+ later), LayerNorm(x + h + bias)). x, h: (…, C), contiguous; bias, later: (C,)."""
    total, y = torch.empty_like(x), torch.empty_like(x)
    _layer_norm(x, h, bias, later, weight, shift, eps, total, y)
    return total, y


def _layer_norm(
    x: Tensor,
    h: Tensor | None,
    bias: Tensor,
    later: Tensor | None,
    weight: Tensor,
    shift: Tensor,
    eps: float,
    total: Tensor,
    y: Tensor,
) -> None:
    channels = x.shape[-1]
    count, wide = x.numel() // channels, triton.next_power_of_2(channels)
    # 16 numbers of a row a thread; a row of few is one warp's alone.
    token_kernels.layer_norm_kernel[(triton.cdiv(count, _TOKENS),)](
        x, x if h is None else h, bias, bias if later is None else later, weight, shift, total, y,
        count, channels, eps, has_h=h is not None, has_later=later is not None,
        rows=_TOKENS, wide=wide, num_warps=max(1, min(8, wide // 512)),
    )  # fmt: skip


def geglu(h: Tensor) -> Tensor:
    """(…, 2 W) -> (…, W): value times gelu(gate). h: contiguous."""
    width = h.shape[-1] // 2
    y = h.new_empty(*h.shape[:-1], width)
    count, wide = h.numel() // (2 * width), min(256, triton.next_power_of_2(width))
    rows = _TILE // wide
    token_kernels.geglu_kernel[(triton.cdiv(count, rows) * triton.cdiv(width, wide),)](
        h, y, count, width, rows=rows, wide=wide
    )
    return y


def _stride(bias: Tensor | None) -> int:
    """From one sample's to the next one's; the channels are neighbours."""
    return 0 if bias is None or bias.shape[0] == 1 else bias.stride(0)
