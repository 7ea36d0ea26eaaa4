# SPDX-License-Identifier: GPL-3.0-or-later
"""GroupNorm of channels-last maps on a processor, for groups of few channels. No gradients."""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_SMALLEST_MAP, _LARGER_MAP = 64, 1024
"""Pixels. Below, the number of operations counts and not their size; from there on ATen goes another way."""
_VECTOR_BYTES, _MOST_BYTES = 32, 128


def suits(x: Tensor, module: nn.GroupNorm) -> bool:
    """Whether `normalize` can serve that map (B, C, h, w), and is faster than PyTorch.

    PyTorch goes through a map of less than 1,024 pixels group by group, in vectors of one pixel's channels:
    where a group's few do not fill one, it takes several times as long. In float32 that is a gain with
    AVX-512 alone; with AVX2 a UNet pass took as long as before on one thread, and longer on two.
    """
    if x.device.type != "cpu" or not _SMALLEST_MAP <= x.shape[2] * x.shape[3] < _LARGER_MAP:
        return False
    of_group = x.shape[1] // module.num_groups * x.element_size()
    return (
        of_group <= _MOST_BYTES
        and of_group % _VECTOR_BYTES != 0
        and (x.element_size() == 2 or (x.dtype == torch.float32 and _has_wide_vectors()))
        and module.weight is not None
        and module.bias is not None
        and x.is_contiguous(memory_format=torch.channels_last)
    )


def normalize(x: Tensor, module: nn.GroupNorm, act: bool, bias: Tensor | None = None) -> Tensor:
    """act(GroupNorm(x + bias)) of a channels-last map x (B, C, h, w), which is what it returns, too.

    act: SiLU or nothing; bias: (1 or B, C). Each channel's mean and variance are made in float32, a group's
    of these: the mean of its channels' variances, and the variance of their means.
    """
    batch, channels, height, width = x.shape
    groups, pixels = module.num_groups, height * width
    exact = x.permute(0, 2, 3, 1).reshape(batch, pixels, channels).float()
    means = exact.sum(1) / pixels
    variances = (exact.square().sum(1) / pixels - means.square()).clamp_min(0)
    added = torch.zeros(()) if bias is None else bias.float()
    by_group = (-1, groups, channels // groups)
    moved = (means + added).view(by_group)
    mean = moved.mean(-1, keepdim=True)
    variance = (variances.view(by_group) + (moved - mean).square()).mean(-1, keepdim=True)
    scale = module.weight.float().view(by_group) / (variance + module.eps).sqrt()
    offset = added.expand(batch, channels).reshape(by_group) - mean
    shift = module.bias.float().view(by_group) + offset * scale
    y = torch.addcmul(shift.view(batch, 1, channels), exact, scale.view(batch, 1, channels))
    if act:
        F.silu(y, inplace=True)
    return y.to(x.dtype).unflatten(1, (height, width)).permute(0, 3, 1, 2)


@functools.cache
def _has_wide_vectors() -> bool:
    return torch.backends.cpu.get_cpu_capability() == "AVX512"
