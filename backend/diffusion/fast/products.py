# SPDX-License-Identifier: GPL-3.0-or-later
"""Convolutions and linear layers with what is added to them, channels-last; gradients to the maps alone."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.diffusion.fast import packed
from backend.diffusion.fast.operations import add, dense, has_kernel, wants_gradient
from backend.diffusion.fast.packed import Pair
from backend.diffusion.fast.sums import with_sums
from backend.diffusion.fast.trial import triton_serves


class _Conv(torch.autograd.Function):
    """A convolution that keeps no input for its backward: the weights get no gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.geometry = x.shape, stride, padding
        return F.conv2d(x, weight, None, stride, padding)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        return _pull_conv(gradients[0], weight, *ctx.geometry), None, None, None


class _FirstConv(torch.autograd.Function):
    """The same of few channels by a kernel, with bias; and its sums."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        from backend.diffusion.fast import launching

        ctx.save_for_backward(weight)
        ctx.shape = x.shape
        y, sums = launching.first_conv(x, weight, bias)
        ctx.mark_non_differentiable(sums)
        return y, sums

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        return _pull_conv(gradients[0], weight, ctx.shape, (1, 1), (1, 1)), None, None


def _pull_conv(dy: Tensor, weight: Tensor, shape: torch.Size, stride: Pair, padding: Pair) -> Tensor:
    """A convolution's gradient for its input, which had that shape."""
    # Only the input's shape and layout are read; one of another layout would be copied, whole maps.
    like = torch.empty(shape, dtype=weight.dtype, device=weight.device, memory_format=torch.channels_last)
    dx: Tensor = torch.ops.aten.convolution_backward(
        dense(dy),
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
    return dx


def conv(x: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
    """A convolution without bias."""
    if wants_gradient(x):
        return _Conv.apply(x, weight, stride, padding)
    if packed.serves(x):
        return packed.conv(x, weight, None, stride, padding)
    return F.conv2d(x, weight, None, stride, padding)


def conv_add(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, padding: Pair, plus: Tensor | None = None
) -> Tensor:
    """A convolution + bias + plus. bias: (C',); plus: (B, C', h', w')."""
    if packed.serves(x):
        return packed.conv(x, weight, bias, stride, padding, plus)
    if x.device.type != "cpu" or wants_gradient(x):
        return add(conv(x, weight, stride, padding), bias, plus)
    y = F.conv2d(x, weight, bias, stride, padding)
    return y if plus is None else y.add_(plus)


def conv_bias(x: Tensor, weight: Tensor, bias: Tensor, stride: Pair, padding: Pair) -> Tensor:
    """A convolution with bias, as networks begin and end with."""
    if triton_serves(x) and _suits_first_conv(weight, stride, padding):
        y, sums = _FirstConv.apply(dense(x), dense(weight), bias)
        return with_sums(y, sums)
    return conv_add(x, weight, bias, stride, padding)


def _suits_first_conv(weight: Tensor, stride: Pair, padding: Pair) -> bool:
    from backend.diffusion.fast import launching

    return launching.suits_first_conv(weight, stride, padding)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, plus: Tensor | None = None) -> Tensor:
    """x weight' + bias + plus. x: (…, F); weight: (F', F), or that of a 1 x 1 convolution; plus: (…, F')."""
    if packed.serves(x):
        return packed.linear(x, weight, bias, plus)
    y = F.linear(x, weight.flatten(1), bias)
    return y if plus is None else plus + y


def add_linear(x: Tensor, h: Tensor, weight: Tensor) -> Tensor:
    """x + h weight', perhaps in the place of x. x: (B, L, C); h: (B, L, F)."""
    if packed.serves(h) or wants_gradient(x, h):
        return linear(h, weight, plus=x)
    x.view(-1, x.shape[-1]).addmm_(h.reshape(-1, h.shape[-1]), weight.t())
    return x


def add_linear_map(x: Tensor, tokens: Tensor, layer: nn.Linear | nn.Conv2d) -> Tensor:
    """x + the layer's output as a map. x: (B, C, h, w), channels-last; tokens: (B, h w, F)."""
    if packed.serves(tokens):
        return as_map(packed.linear(tokens, layer.weight, layer.bias, as_tokens(x)), x)
    return add(as_map(F.linear(tokens, layer.weight.flatten(1)), x), layer.bias, x)


def add_linear_norm(
    x: Tensor, h: Tensor, layer: nn.Linear, module: nn.LayerNorm, later: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """(y (+ later), LayerNorm(y)) of y = x + layer(h), the first a tensor of its own.

    x: (B, L, C); h: (B, L, F); later: (C,). The kernel has no backward.
    """
    if has_kernel(x, module, h):
        from backend.diffusion.fast import launching

        product = F.linear(h, layer.weight).contiguous()
        parameters = module.weight, module.bias, module.eps
        return launching.add_layer_norm(x.contiguous(), product, layer.bias, later, *parameters)
    total = linear(h, layer.weight, layer.bias, plus=x)
    return (total if later is None else total + later), module(total)


def as_tokens(x: Tensor) -> Tensor:
    """(B, C, h, w) as (B, h w, C): a view where x is channels-last."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


def as_map(tokens: Tensor, like: Tensor) -> Tensor:
    """(B, h w, C) as the channels-last map (B, C, h, w)."""
    return tokens.unflatten(1, like.shape[2:]).permute(0, 3, 1, 2)
