# SPDX-License-Identifier: GPL-3.0-or-later
"""GroupNorm of channels-last maps on a processor, for groups of few channels. No gradients."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_SMALLEST_MAP = 64
"""Pixels; below, the number of operations counts and not their size."""
_VECTOR_BYTES = 32


def suits(x: Tensor, groups: int) -> bool:
    """Whether `normalize` is faster than PyTorch for that map (B, C, h, w).

    PyTorch goes through such a map group by group, in vectors of one pixel's channels: where a group's do not
    fill one it takes up to five times as long.
    """
    if x.device.type != "cpu" or x.shape[2] * x.shape[3] < _SMALLEST_MAP:
        return False
    of_group = x.shape[1] // groups * x.element_size()
    return of_group % _VECTOR_BYTES != 0 and x.is_contiguous(memory_format=torch.channels_last)


def normalize(x: Tensor, module: nn.GroupNorm, act: bool, bias: Tensor | None = None) -> Tensor:
    """act(GroupNorm(x + bias)) of a channels-last map x (B, C, h, w), which is what it returns, too.

    act: SiLU or nothing; bias: (1 or B, C). The sums of each channel are made in float32, everything else of
    them.
    """
    batch, channels, height, width = x.shape
    groups, pixels = module.num_groups, height * width
    exact = x.permute(0, 2, 3, 1).reshape(batch, pixels, channels).float()
    total, squares = exact.sum(1), exact.square().sum(1)
    if bias is not None:
        bias = bias.float()
        squares = squares + bias * (2 * total + pixels * bias)
        total = total + pixels * bias
    by_group, share = (batch, groups, channels // groups), groups / (pixels * channels)
    mean = total.view(by_group).sum(-1, keepdim=True) * share
    variance = squares.view(by_group).sum(-1, keepdim=True) * share - mean.square()
    deviation = (variance.clamp_min(0) + module.eps).sqrt()
    scale = module.weight.float().view(by_group[1:]) / deviation
    shift = module.bias.float().view(by_group[1:]) - mean * scale
    if bias is not None:
        shift = shift + bias.view(-1, *by_group[1:]) * scale
    y = torch.addcmul(shift.view(batch, 1, channels), exact, scale.view(batch, 1, channels))
    if act:
        F.silu(y, inplace=True)
    return y.to(x.dtype).unflatten(1, (height, width)).permute(0, 3, 1, 2)
