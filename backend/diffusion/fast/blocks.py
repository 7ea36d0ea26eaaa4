# SPDX-License-Identifier: GPL-3.0-or-later
"""diffusers' convolutional blocks with fused, channels-last insides. They share the stock ones' children."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from backend.diffusion.fast.joined import Shared
from backend.diffusion.fast.operations import add, conv, conv_bias, fork_norm, norm, upsample
from backend.diffusion.fast.twins import Twins


class Replacement(nn.Module):
    """Takes over the children of a stock module, under their names."""

    def __init__(self, stock: nn.Module) -> None:
        super().__init__()
        for name, child in stock._modules.items():
            self.add_module(name, child)
        self.training = stock.training


class FusedNorm(nn.Module):
    """GroupNorm with SiLU."""

    def __init__(self, stock: nn.GroupNorm) -> None:
        super().__init__()
        self.weight, self.bias = stock.weight, stock.bias
        self.num_groups, self.eps = stock.num_groups, stock.eps

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same."""
        return norm(x, self, act=True)  # type: ignore[arg-type]


class FusedConv(nn.Module):
    """A convolution whose bias has a kernel that knows channels-last."""

    def __init__(self, stock: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = stock.weight, stock.bias
        self.stride, self.padding = stock.stride, stock.padding

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C', h', w')."""
        return conv_bias(x, self.weight, self.bias, self.stride, self.padding)  # type: ignore[arg-type]


class FusedResnet(Replacement):
    """ResnetBlock2D: a first convolution's bias and the time go into the norm, a second's into the sum."""

    norm1: nn.GroupNorm
    norm2: nn.GroupNorm
    conv1: nn.Conv2d
    conv2: nn.Conv2d
    conv_shortcut: nn.Conv2d | None
    time_emb_proj: nn.Linear | None

    def __init__(self, stock: Any) -> None:
        super().__init__(stock)
        # Where stock has None, that is no child.
        self.conv_shortcut, self.time_emb_proj = stock.conv_shortcut, stock.time_emb_proj
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

    def forward(self, input_tensor: Tensor, temb: Tensor | None = None) -> Tensor:
        """input_tensor: (B, C, h, w); temb: (B, E)."""
        h, x = fork_norm(self.twins.one(input_tensor), self.norm1, act=True)
        h = _plain(self.conv1, h)
        bias = _bias(self.conv1)[None]
        if temb is not None and self._shared is not None:
            bias = self.twins.one(self._shared(temb)[self._number])
        elif temb is not None and self.time_emb_proj is not None:
            bias = self.time_emb_proj(F.silu(self.twins.one(temb))) + bias
        h = _plain(self.conv2, norm(h, self.norm2, act=True, bias=bias))
        ending = _bias(self.conv2)
        if self.conv_shortcut is not None:
            x = _plain(self.conv_shortcut, x)
            if self.conv_shortcut.bias is not None:
                ending = ending + self.conv_shortcut.bias
        return self.twins.both(add(h, ending, x))


class FusedDownsample(Replacement):
    """Downsample2D with a convolution of stride 2."""

    conv: nn.Conv2d

    def __init__(self, stock: Any) -> None:
        super().__init__(stock)
        self.uneven = stock.padding == 0

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C', h / 2, w / 2)."""
        weight: Tensor = self.conv.weight
        padding: Any = self.conv.padding
        if self.uneven:
            # Stock pads the map at its ends alone. Padding all round, and the kernel at its beginning, gives
            # the same numbers without a copy of the map.
            weight, padding = F.pad(weight, (1, 0, 1, 0)), (1, 1)
        return add(conv(hidden_states, weight, self.conv.stride, padding), self.conv.bias)  # type: ignore[arg-type]


class FusedUpsample(Replacement):
    """Upsample2D: nearest, then a convolution."""

    conv: nn.Conv2d

    def forward(self, hidden_states: Tensor, output_size: Any = None) -> Tensor:
        """(B, C, h, w) -> (B, C', 2 h, 2 w), or of output_size."""
        if output_size is None:
            larger = upsample(hidden_states)
        else:
            larger = F.interpolate(hidden_states, size=output_size, mode="nearest")
        return add(_plain(self.conv, larger), self.conv.bias)


def _plain(layer: nn.Conv2d, x: Tensor) -> Tensor:
    return conv(x, layer.weight, layer.stride, layer.padding)  # type: ignore[arg-type]


def _bias(layer: nn.Conv2d) -> Tensor:
    assert layer.bias is not None
    return layer.bias
