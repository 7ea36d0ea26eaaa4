# SPDX-License-Identifier: GPL-3.0-or-later
"""Fused operations on channels-last maps, with gradients to the maps alone: Triton, or plain PyTorch."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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
        bias: Tensor | None,
        groups: int,
        weight: Tensor,
        shift: Tensor,
        eps: float,
        act: bool,
    ) -> tuple[Tensor, Tensor]:
        from backend.diffusion.fast import launching

        ctx.set_materialize_grads(False)
        y, factors, moments = launching.normalize(x, bias, groups, weight, shift, eps, act)
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
        return dx, None, None, None, None, None, None


class _Add(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor, bias: Tensor, x: Tensor | None) -> Tensor:
        from backend.diffusion.fast import launching

        return launching.add_bias(h, bias, x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return gradients[0], None, gradients[0] if ctx.needs_input_grad[2] else None


class _Conv(torch.autograd.Function):
    """A convolution that keeps no input for its backward: the weights get no gradient."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]
    ) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.geometry = x.shape, stride, padding
        return F.conv2d(x, weight, None, stride, padding)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        shape, stride, padding = ctx.geometry
        # Only the input's shape and layout are read; one of another layout would be copied, whole maps.
        like = torch.empty(shape, dtype=weight.dtype, device=weight.device, memory_format=torch.channels_last)
        dx = torch.ops.aten.convolution_backward(
            dense(gradients[0]),
            like,
            weight,
            None,
            stride,
            padding,
            (1, 1),
            False,
            (0, 0),
            1,
            (True, False, False),
        )[0]
        return dx, None, None, None


def norm(x: Tensor, module: nn.GroupNorm, act: bool, bias: Tensor | None = None) -> Tensor:
    """act(GroupNorm(x + bias)), act SiLU or nothing; bias: (1 or B, C)."""
    return fork_norm(x, module, act, bias)[0]


def fork_norm(
    x: Tensor, module: nn.GroupNorm, act: bool, bias: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """`norm`, and x again: a residual branch that starts from that one costs no pass of its own."""
    if triton_serves(x):
        x = dense(x)
        return _Norm.apply(x, bias, module.num_groups, module.weight, module.bias, module.eps, act)
    moved = x if bias is None else x + bias[:, :, None, None]
    y = F.group_norm(moved, module.num_groups, module.weight, module.bias, module.eps)
    return (F.silu(y) if act else y), x


def add(h: Tensor, bias: Tensor | None, x: Tensor | None = None) -> Tensor:
    """h + bias + x; bias: (C,)."""
    if bias is None:
        return h if x is None else h + x
    if triton_serves(h):
        return _Add.apply(dense(h), bias, None if x is None else dense(x))
    y = h + bias[:, None, None]
    return y if x is None else y + x


def conv(x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]) -> Tensor:
    """A convolution without bias."""
    if torch.is_grad_enabled() and x.requires_grad:
        return _Conv.apply(x, weight, stride, padding)
    return F.conv2d(x, weight, None, stride, padding)


def geglu(h: Tensor) -> Tensor:
    """(…, 2 W) -> (…, W): value times gelu(gate). The kernel has no backward: the UNet needs none."""
    if triton_serves(h) and not (torch.is_grad_enabled() and h.requires_grad):
        from backend.diffusion.fast import launching

        return launching.geglu(h.contiguous())
    value, gate = h.chunk(2, -1)
    return value * F.gelu(gate)
