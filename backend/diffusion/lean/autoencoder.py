# SPDX-License-Identifier: GPL-3.0-or-later
"""The autoencoder. It is called as diffusers' AutoencoderKL is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.diffusion.lean.blocks import Downsample, Resnet, Upsample

EPS = 1e-6


class Posterior(NamedTuple):
    """parameters: mean and logarithm of the variance, (B, 2 C, h, w)."""

    parameters: Tensor


class Encoded(NamedTuple):
    """What `encode` returns."""

    latent_dist: Posterior


class Decoded(NamedTuple):
    """What `decode` returns; sample: (B, 3, H, W) in -1..1."""

    sample: Tensor


class Autoencoder(nn.Module):
    """Images to latents and back.

    settings: of `vae_settings`. `decoder` and `post_quant_conv` may be set to None: then it only encodes.
    """

    decoder: nn.Module | None
    post_quant_conv: nn.Module | None

    def __init__(self, settings: SimpleNamespace) -> None:
        super().__init__()
        self.config = settings
        latents = settings.latent_channels
        self.encoder = Encoder(settings)
        self.decoder = Decoder(settings)
        self.quant_conv = nn.Conv2d(2 * latents, 2 * latents, 1)
        self.post_quant_conv = nn.Conv2d(latents, latents, 1)

    def encode(self, pixels: Tensor) -> Encoded:
        """pixels: (B, 3, H, W) in -1..1."""
        # Compiled, if at all, for what is differentiated: a single picture is not worth a minute more.
        encoder = self.encoder if torch.is_grad_enabled() else self.encoder.forward
        return Encoded(Posterior(self.quant_conv(encoder(pixels))))

    def decode(self, latents: Tensor) -> Decoded:
        """latents: (B, C, h, w)."""
        if self.decoder is None or self.post_quant_conv is None:
            raise ValueError("this autoencoder has no decoder")
        return Decoded(self.decoder(self.post_quant_conv(latents)))


class Encoder(nn.Module):
    """Its resnets by size, then the middle."""

    def __init__(self, settings: SimpleNamespace) -> None:
        super().__init__()
        widths, groups = settings.block_out_channels, settings.norm_num_groups
        self.conv_in = nn.Conv2d(settings.in_channels, widths[0], 3, padding=1)
        before = [widths[0], *widths[:-1]]
        self.down_blocks = nn.ModuleList(
            [
                Level(inputs, width, settings.layers_per_block, groups)
                for inputs, width in zip(before, widths, strict=True)
            ]
        )
        for level, width in zip(self.down_blocks[:-1], widths[:-1], strict=True):
            level.downsamplers = nn.ModuleList([Downsample(width, uneven=True)])
        self.mid_block = Middle(widths[-1], groups)
        self.conv_norm_out = nn.GroupNorm(groups, widths[-1], EPS)
        self.conv_act = nn.SiLU()
        self.conv_out = nn.Conv2d(widths[-1], 2 * settings.latent_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 2 C, h, w)."""
        x = self.conv_in(x)
        for level in self.down_blocks:
            x = level(x)
        x = self.mid_block(x)
        return self.conv_out(self.conv_act(self.conv_norm_out(x)))


class Decoder(nn.Module):
    """The middle, then resnets by size, one more of each than the encoder has."""

    def __init__(self, settings: SimpleNamespace) -> None:
        super().__init__()
        widths, groups = settings.block_out_channels[::-1], settings.norm_num_groups
        self.conv_in = nn.Conv2d(settings.latent_channels, widths[0], 3, padding=1)
        self.mid_block = Middle(widths[0], groups)
        before = [widths[0], *widths[:-1]]
        self.up_blocks = nn.ModuleList(
            [
                Level(inputs, width, settings.layers_per_block + 1, groups)
                for inputs, width in zip(before, widths, strict=True)
            ]
        )
        for level, width in zip(self.up_blocks[:-1], widths[:-1], strict=True):
            level.upsamplers = nn.ModuleList([Upsample(width)])
        self.conv_norm_out = nn.GroupNorm(groups, widths[-1], EPS)
        self.conv_act = nn.SiLU()
        self.conv_out = nn.Conv2d(widths[-1], settings.out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, 3, H, W)."""
        x = self.mid_block(self.conv_in(x))
        for level in self.up_blocks:
            x = level(x)
        return self.conv_out(self.conv_act(self.conv_norm_out(x)))


class Level(nn.Module):
    """Resnets of one size, and the way to the next, where there is one."""

    downsamplers: nn.ModuleList | None
    upsamplers: nn.ModuleList | None

    def __init__(self, inputs: int, width: int, count: int, groups: int) -> None:
        super().__init__()
        channels = [inputs] + [width] * (count - 1)
        self.resnets = nn.ModuleList([Resnet(each, width, groups, EPS) for each in channels])
        self.downsamplers = self.upsamplers = None

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C', h', w')."""
        for part in (*self.resnets, *(self.downsamplers or ()), *(self.upsamplers or ())):
            x = part(x)
        return x


class Middle(nn.Module):
    """Of the smallest size: a resnet, attention of all pixels, a resnet."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.resnets = nn.ModuleList([Resnet(width, width, groups, EPS) for _ in range(2)])
        self.attentions = nn.ModuleList([MapAttention(width, groups)])

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same."""
        return self.resnets[1](self.attentions[0](self.resnets[0](x)))


class MapAttention(nn.Module):
    """Attention of one head, of a map's pixels to each other, beside a way round it."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.group_norm = nn.GroupNorm(groups, width, EPS)
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same."""
        tokens = self.group_norm(x.flatten(2)).transpose(1, 2)
        query, key, value = (to(tokens)[:, None] for to in (self.to_q, self.to_k, self.to_v))
        mixed = self.to_out[0](F.scaled_dot_product_attention(query, key, value)[:, 0])
        return mixed.transpose(1, 2).reshape(x.shape) + x
