# SPDX-License-Identifier: GPL-3.0-or-later
"""MVDream's UNet. It is called as diffusers' is."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from backend.diffusion.attention import CAMERA_NUMBERS, CameraEmbedding
from backend.diffusion.lean.blocks import Downsample, Resnet, Upsample
from backend.diffusion.lean.transformer import Transformer

LONGEST_PERIOD = 10_000


class UNet(nn.Module):
    """Noise of latents, given time, prompt and cameras.

    settings: of `unet_settings`.
    """

    multi_view = True
    """Joined attention and the camera are built in."""

    def __init__(self, settings: SimpleNamespace) -> None:
        super().__init__()
        self.config = settings
        widths, groups, eps = settings.block_out_channels, settings.norm_num_groups, settings.norm_eps
        self.conv_in = nn.Conv2d(settings.in_channels, widths[0], 3, padding=1)
        self.time_embedding = TimeEmbedding(widths[0], 4 * widths[0])
        self.class_embedding = CameraEmbedding(TimeEmbedding(CAMERA_NUMBERS, 4 * widths[0]))
        self.down_blocks = nn.ModuleList(_down_blocks(settings))
        self.mid_block = MidBlock(settings)
        self.up_blocks = nn.ModuleList(_up_blocks(settings))
        self.conv_norm_out = nn.GroupNorm(groups, widths[0], eps)
        self.conv_act = nn.SiLU()
        self.conv_out = nn.Conv2d(widths[0], settings.out_channels, 3, padding=1)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        class_labels: Tensor,
        cross_attention_kwargs: dict[str, Any],
        return_dict: bool = False,
    ) -> tuple[Tensor]:
        """sample: (B, C, h, w); timestep: (B,); encoder_hidden_states: (B or fewer, T, D); class_labels:
        (B, 16), the cameras; cross_attention_kwargs: how many "views" are joined. Returns ((B, C, h, w),).
        """
        context, views = encoder_hidden_states, cross_attention_kwargs["views"]
        waves = time_waves(timestep, self.config.block_out_channels[0]).to(sample.dtype)
        time = self.time_embedding(waves) + self.class_embedding(class_labels)
        x = self.conv_in(sample)
        skips = [x]
        for block in self.down_blocks:
            x = block(x, time, context, views, skips)
        x = self.mid_block(x, time, context, views)
        for block in self.up_blocks:
            x = block(x, time, context, views, skips)
        return (self.conv_out(self.conv_act(self.conv_norm_out(x))),)


class TimeEmbedding(nn.Module):
    """Two layers that make an embedding."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(inputs, width)
        self.act = nn.SiLU()
        self.linear_2 = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs) -> (B, width)."""
        return self.linear_2(self.act(self.linear_1(x)))


def time_waves(times: Tensor, numbers: int) -> Tensor:
    """Cosines and sines of times (B,), `numbers` / 2 of each (Ho et al. 2020): (B, numbers) float32."""
    half = numbers // 2
    exponent = -math.log(LONGEST_PERIOD) * torch.arange(half, dtype=torch.float32, device=times.device)
    angles = times[:, None].float() * torch.exp(exponent / half)[None]
    return torch.cat([torch.cos(angles), torch.sin(angles)], dim=-1)


class Level(nn.Module):
    """Resnets of one size, each followed by a transformer where there are `heads`."""

    def __init__(self, inputs: list[int], width: int, heads: int | None, settings: SimpleNamespace) -> None:
        super().__init__()
        groups, time = settings.norm_num_groups, 4 * settings.block_out_channels[0]
        self.resnets = nn.ModuleList(
            [Resnet(channels, width, groups, settings.norm_eps, time) for channels in inputs]
        )
        context, linear = settings.cross_attention_dim, settings.use_linear_projection
        self.attentions = (
            None
            if heads is None
            else nn.ModuleList([Transformer(width, heads, context, groups, linear) for _ in inputs])
        )

    def layer(self, number: int, x: Tensor, time: Tensor, context: Tensor, views: int) -> Tensor:
        """The resnet of that number, and its transformer."""
        x = self.resnets[number](x, time)
        return x if self.attentions is None else self.attentions[number](x, context, views)


class DownBlock(Level):
    """Adds what it makes to `skips`. last: of the smallest size, so there is none to go on to."""

    def __init__(
        self, inputs: int, width: int, heads: int | None, last: bool, settings: SimpleNamespace
    ) -> None:
        channels = [inputs] + [width] * (settings.layers_per_block - 1)
        super().__init__(channels, width, heads, settings)
        self.downsamplers = None if last else nn.ModuleList([Downsample(width)])

    def forward(self, x: Tensor, time: Tensor, context: Tensor, views: int, skips: list[Tensor]) -> Tensor:
        """x: (B, C, h, w); time: (B, E). Returns (B, C', h / 2, w / 2), or of the size of x if last."""
        for number in range(len(self.resnets)):
            x = self.layer(number, x, time, context, views)
            skips.append(x)
        if self.downsamplers is not None:
            x = self.downsamplers[0](x)
            skips.append(x)
        return x


class UpBlock(Level):
    """Takes from `skips` what was made on the way down. inputs: channels of each resnet."""

    def __init__(
        self, inputs: list[int], width: int, heads: int | None, last: bool, settings: SimpleNamespace
    ) -> None:
        super().__init__(inputs, width, heads, settings)
        self.upsamplers = None if last else nn.ModuleList([Upsample(width)])

    def forward(self, x: Tensor, time: Tensor, context: Tensor, views: int, skips: list[Tensor]) -> Tensor:
        """x: (B, C, h, w); time: (B, E). Returns (B, C', 2 h, 2 w), or of the size of x if last."""
        for number in range(len(self.resnets)):
            x = self.layer(number, torch.cat([x, skips.pop()], dim=1), time, context, views)
        return x if self.upsamplers is None else self.upsamplers[0](x, tuple(skips[-1].shape[2:]))


class MidBlock(Level):
    """Of the smallest size: a resnet, a transformer, a resnet."""

    def __init__(self, settings: SimpleNamespace) -> None:
        width = settings.block_out_channels[-1]
        super().__init__([width, width], width, settings.attention_head_dim[-1], settings)
        assert self.attentions is not None
        del self.attentions[1]

    def forward(self, x: Tensor, time: Tensor, context: Tensor, views: int) -> Tensor:
        """x: (B, C, h, w); time: (B, E). Returns the shape of x."""
        x = self.layer(0, x, time, context, views)
        return self.resnets[1](x, time)


def _down_blocks(settings: SimpleNamespace) -> list[DownBlock]:
    blocks, inputs = [], settings.block_out_channels[0]
    for level, width in enumerate(settings.block_out_channels):
        heads = _heads(settings, level, settings.down_block_types[level])
        last = level == len(settings.block_out_channels) - 1
        blocks.append(DownBlock(inputs, width, heads, last, settings))
        inputs = width
    return blocks


def _up_blocks(settings: SimpleNamespace) -> list[UpBlock]:
    blocks, widths = [], settings.block_out_channels
    before, resnets = widths[-1], settings.layers_per_block + 1
    for number, kind in enumerate(settings.up_block_types):
        level = len(widths) - 1 - number
        width, skipped = widths[level], widths[max(0, level - 1)]
        skips = [width] * (resnets - 1) + [skipped]
        inputs = [x + skip for x, skip in zip([before] + [width] * (resnets - 1), skips, strict=True)]
        blocks.append(UpBlock(inputs, width, _heads(settings, level, kind), level == 0, settings))
        before = width
    return blocks


def _heads(settings: SimpleNamespace, level: int, kind: str) -> int | None:
    """diffusers calls the number of heads the dimension of one, for old files' sake."""
    return settings.attention_head_dim[level] if kind.startswith("CrossAttn") else None
