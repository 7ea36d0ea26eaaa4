# SPDX-License-Identifier: GPL-3.0-or-later
"""Blocks of maps (B, C, h, w). What their parts are called is what they are called in files."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Resnet(nn.Module):
    """Two convolutions beside a way round them; between them the time is added, where there is one.

    groups, eps: of both norms. time: numbers of the time's embedding, 0 for none.
    """

    def __init__(self, inputs: int, outputs: int, groups: int, eps: float, time: int = 0) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, inputs, eps)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.time_emb_proj = nn.Linear(time, outputs) if time else None
        self.norm2 = nn.GroupNorm(groups, outputs, eps)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        """x: (B, C, h, w); time: (B, E). Returns (B, C', h, w)."""
        h = self.conv1(F.silu(self.norm1(x)))
        if self.time_emb_proj is not None and time is not None:
            h = h + self.time_emb_proj(F.silu(time))[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        return (x if self.conv_shortcut is None else self.conv_shortcut(x)) + h


class Downsample(nn.Module):
    """Half the size. uneven: padded at right and bottom alone, as autoencoders are."""

    def __init__(self, channels: int, uneven: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=0 if uneven else 1)
        self.uneven = uneven

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h / 2, w / 2)."""
        return self.conv(F.pad(x, (0, 1, 0, 1)) if self.uneven else x)


class Upsample(nn.Module):
    """Twice the size, and a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """(B, C, h, w) -> (B, C, 2 h, 2 w), or of `size`."""
        larger = F.interpolate(x, size=size, scale_factor=2.0 if size is None else None, mode="nearest")
        return self.conv(larger)
