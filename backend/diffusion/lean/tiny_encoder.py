# SPDX-License-Identifier: GPL-3.0-or-later
"""The small image encoder (TAESD's). It is called as diffusers' AutoencoderTiny is."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor, nn


class TinyEncoder(nn.Module):
    """Images to latents.

    settings: of `tiny_settings`.
    """

    def __init__(self, settings: SimpleNamespace) -> None:
        super().__init__()
        self.config = settings
        self.encoder = _Layers(settings)

    @property
    def scaling_factor(self) -> float:
        """What latents are multiplied by."""
        return self.config.scaling_factor

    def encode(self, pixels: Tensor, return_dict: bool = False) -> tuple[Tensor]:
        """pixels: (B, 3, H, W) in -1..1. Returns ((B, C, h, w),)."""
        return (self.encoder.layers((pixels + 1) / 2),)


class _Layers(nn.Module):
    """Convolutions, each after the first halving the size, and residual blocks after each."""

    def __init__(self, settings: SimpleNamespace) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        widths = settings.encoder_block_out_channels
        for level, (width, blocks) in enumerate(zip(widths, settings.num_encoder_blocks, strict=True)):
            if level == 0:
                layers.append(nn.Conv2d(settings.in_channels, width, 3, padding=1))
            else:
                layers.append(nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False))
            layers += [_Block(width) for _ in range(blocks)]
        layers.append(nn.Conv2d(widths[-1], settings.latent_channels, 3, padding=1))
        self.layers = nn.Sequential(*layers)


class _Block(nn.Module):
    """Three convolutions beside a way round them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        first, second, third = (nn.Conv2d(width, width, 3, padding=1) for _ in range(3))
        self.conv = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same."""
        return torch.relu(self.conv(x) + x)
