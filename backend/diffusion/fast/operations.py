# SPDX-License-Identifier: GPL-3.0-or-later
"""Fused operations on channels-last maps, gradients to the maps alone: Triton's, or plain PyTorch."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.diffusion.fast import processor_norm
from backend.diffusion.fast.sums import sums_of, with_sums
from backend.diffusion.fast.trial import triton_serves


def dense(x: Tensor) -> Tensor:
    """The map, channels-last and dense; the same tensor where it is that."""
    return x.contiguous(memory_format=torch.channels_last)


class _Norm(torch.autograd.Function):
    """(act(norm(x + bias)), x): x goes through so that its other gradient is added in the same kernel."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        sums: Tensor | None,
        bias: Tensor | None,
        groups: int,
        weight: Tensor,
        shift: Tensor,
        eps: float,
        act: bool,
    ) -> tuple[Tensor, Tensor]:
        from backend.diffusion.fast import launching

        ctx.set_materialize_grads(False)
        y, factors, moments = launching.normalize(x, bias, groups, weight, shift, eps, act, partial=sums)
        ctx.save_for_backward(x, bias, weight, factors, moments)
        ctx.act = act
        return y, x.view_as(x)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        from backend.diffusion.fast import launching

        dy, beside = gradients
        dx = beside
        if dy is not None:
            x, bias, weight, factors, moments = ctx.saved_tensors
            along = None if beside is None else dense(beside)
            dx = launching.normalize_back(x, dense(dy), along, bias, weight, factors, moments, ctx.act)
        return dx, None, None, None, None, None, None, None


class _Add(torch.autograd.Function):
    """h + bias (+ x), and its sums, empty where they would not pay."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, bias: Tensor, x: Tensor | None) -> tuple[Tensor, Tensor]:
        from backend.diffusion.fast import launching

        if launching.sums_pay(h):
            y, sums = launching.add_bias_and_sum(h, bias, x)
        else:
            y, sums = launching.add_bias(h, bias, x), h.new_empty(0)
        ctx.mark_non_differentiable(sums)
        return y, sums

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return gradients[0], None, gradients[0] if ctx.needs_input_grad[2] else None


def norm(x: Tensor, module: nn.GroupNorm, act: bool, bias: Tensor | None = None) -> Tensor:
    """act(GroupNorm(x + bias)), act SiLU or nothing; bias: (1 or B, C)."""
    return fork_norm(x, module, act, bias)[0]


def fork_norm(
    x: Tensor, module: nn.GroupNorm, act: bool, bias: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """`norm`, and x again: a residual branch that starts from that one costs no pass of its own."""
    if triton_serves(x):
        x = dense(x)
        given = module.num_groups, module.weight, module.bias, module.eps, act
        return _Norm.apply(x, sums_of(x), bias, *given)
    if processor_norm.suits(x, module) and not wants_gradient(x):
        return processor_norm.normalize(x, module, act, bias), x
    moved = x if bias is None else x + bias[:, :, None, None]
    y = F.group_norm(moved, module.num_groups, module.weight, module.bias, module.eps)
    return (F.silu(y) if act else y), x


def add(h: Tensor, bias: Tensor | None, x: Tensor | None = None) -> Tensor:
    """h + bias + x; bias: (C,)."""
    if bias is None:
        return h if x is None else h + x
    if triton_serves(h):
        y, sums = _Add.apply(dense(h), bias, None if x is None else dense(x))
        return with_sums(y, sums) if sums.numel() else y
    y = h + bias[:, None, None]
    return y if x is None else y + x


def upsample(x: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, C, 2 h, 2 w), nearest. The kernel has no backward: decoder and UNet need none."""
    if triton_serves(x) and not wants_gradient(x):
        from backend.diffusion.fast import launching

        return launching.upsample(dense(x))
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def layer_norm(x: Tensor, module: nn.LayerNorm) -> Tensor:
    """LayerNorm of tokens (B, L, C). The kernel has no backward."""
    if has_kernel(x, module):
        from backend.diffusion.fast import launching

        return launching.layer_norm(x.contiguous(), module.weight, module.bias, module.eps)
    return module(x)


def geglu(h: Tensor) -> Tensor:
    """(…, 2 W) -> (…, W): value times gelu(gate). The kernel has no backward: the UNet needs none."""
    if triton_serves(h) and not wants_gradient(h):
        from backend.diffusion.fast import launching

        return launching.geglu(h.contiguous())
    value, gate = h.chunk(2, -1)
    return value * F.gelu(gate)


def wants_gradient(*inputs: Tensor) -> bool:
    """Whether autograd is to record what is made of these."""
    return torch.is_grad_enabled() and any(x.requires_grad for x in inputs)


def has_kernel(x: Tensor, module: nn.LayerNorm, *others: Tensor) -> bool:
    """Whether the kernel without a backward can be this norm of x and others."""
    # Without weights, or without a bias, LayerNorm is seldom enough to be left to PyTorch.
    whole = module.weight is not None and module.bias is not None
    return whole and triton_serves(x) and not wants_gradient(x, *others)
