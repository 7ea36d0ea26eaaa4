# SPDX-License-Identifier: GPL-3.0-or-later
"""Convolutional blocks with fused, channels-last insides. They share the lean ones' children."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from backend.diffusion.fast.joined import Shared
from backend.diffusion.fast.operations import fork_norm, norm, upsample
from backend.diffusion.fast.products import conv, conv_add, conv_bias
from backend.diffusion.fast.twins import Twins
from backend.diffusion.lean.blocks import Downsample, Resnet


class Replacement(nn.Module):
    """Takes over the children of a lean module, under their names, and is called as it is."""

    def __init__(self, lean: nn.Module) -> None:
        super().__init__()
        for name, child in lean._modules.items():
            self.add_module(name, child)
        self.training = lean.training


class FusedNorm(nn.Module):
    """GroupNorm with SiLU."""

    def __init__(self, plain: nn.GroupNorm) -> None:
        super().__init__()
        self.weight, self.bias = plain.weight, plain.bias
        self.num_groups, self.eps = plain.num_groups, plain.eps

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same."""
        return norm(x, self, act=True)  # type: ignore[arg-type]


class FusedConv(nn.Module):
    """A convolution whose bias has a kernel that knows channels-last."""

    def __init__(self, plain: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = plain.weight, plain.bias
        self.stride, self.padding = plain.stride, plain.padding

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C', h', w')."""
        return conv_bias(x, self.weight, self.bias, self.stride, self.padding)  # type: ignore[arg-type]


class FusedResnet(Replacement):
    """A resnet: its first convolution's bias and the time go into the norm, its second's into the sum."""

    norm1: nn.GroupNorm
    norm2: nn.GroupNorm
    conv1: nn.Conv2d
    conv2: nn.Conv2d
    conv_shortcut: nn.Conv2d | None
    time_emb_proj: nn.Linear | None

    def __init__(self, lean: Resnet) -> None:
        super().__init__(lean)
        # Where that has None, it is no child.
        self.conv_shortcut, self.time_emb_proj = lean.conv_shortcut, lean.time_emb_proj
        self._shared: Shared | None = None
        self._number = 0
        self.twins = Twins()

    @property
    def shares(self) -> bool:
        """Whether a part comes from elsewhere."""
        return self._shared is not None

    def share_time(self, shared: Shared, number: int) -> None:
        """What goes into the second norm for a time, (B, E) -> (B, C), is output `number` of `shared`."""
        self._shared, self._number = shared, number

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        """x: (B, C, h, w); time: (B, E)."""
        h, x = fork_norm(self.twins.one(x), self.norm1, act=True)
        h = _plain(self.conv1, h)
        bias = _bias(self.conv1)[None]
        if time is not None and self._shared is not None:
            bias = self.twins.one(self._shared(time)[self._number])
        elif time is not None and self.time_emb_proj is not None:
            bias = self.time_emb_proj(F.silu(self.twins.one(time))) + bias
        h = norm(h, self.norm2, act=True, bias=bias)
        ending = _bias(self.conv2)
        if self.conv_shortcut is not None:
            x = _plain(self.conv_shortcut, x)
            if self.conv_shortcut.bias is not None:
                ending = ending + self.conv_shortcut.bias
        return self.twins.both(_ending(self.conv2, h, ending, x))


class FusedDownsample(Replacement):
    """Half the size, by a convolution of stride 2."""

    conv: nn.Conv2d

    def __init__(self, lean: Downsample) -> None:
        super().__init__(lean)
        self.uneven = lean.uneven

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C', h / 2, w / 2)."""
        weight: Tensor = self.conv.weight
        padding: Any = self.conv.padding
        if self.uneven:
            # The lean one pads the map at its ends alone. Padding all round, and the kernel at its beginning,
            # gives the same numbers without a copy of the map.
            weight, padding = F.pad(weight, (1, 0, 1, 0)), (1, 1)
        return conv_add(x, weight, self.conv.bias, self.conv.stride, padding)  # type: ignore[arg-type]


class FusedUpsample(Replacement):
    """Twice the size by the nearest pixel, and a convolution."""

    conv: nn.Conv2d

    def forward(self, x: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """(B, C, h, w) -> (B, C, 2 h, 2 w), or of `size`."""
        if size in (None, (2 * x.shape[2], 2 * x.shape[3])):
            larger = upsample(x)
        else:
            larger = F.interpolate(x, size=size, mode="nearest")
        return _ending(self.conv, larger, self.conv.bias)


def _plain(layer: nn.Conv2d, x: Tensor) -> Tensor:
    return conv(x, layer.weight, layer.stride, layer.padding)  # type: ignore[arg-type]


def _ending(layer: nn.Conv2d, x: Tensor, bias: Tensor | None, plus: Tensor | None = None) -> Tensor:
    return conv_add(x, layer.weight, bias, layer.stride, layer.padding, plus)  # type: ignore[arg-type]


def _bias(layer: nn.Conv2d) -> Tensor:
    assert layer.bias is not None
    return layer.bias
