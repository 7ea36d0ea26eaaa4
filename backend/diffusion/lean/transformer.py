# SPDX-License-Identifier: GPL-3.0-or-later
"""The UNet's transformer: attention over the tokens of all views, over the prompt's, and a gated network."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from backend.diffusion.attention import JoinedAttention

MAP_EPS = 1e-6
"""Of the norm before a transformer, whatever the settings say of the others."""


class Attention(nn.Module):
    """Joined attention with `heads` heads, of tokens `width` wide to a context's or to themselves."""

    def __init__(self, width: int, heads: int, context: int | None = None) -> None:
        super().__init__()
        inner = width // heads * heads
        self.heads = heads
        self.to_q = nn.Linear(width, inner, bias=False)
        self.to_k = nn.Linear(context or width, inner, bias=False)
        self.to_v = nn.Linear(context or width, inner, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(inner, width), nn.Identity()])
        self._attend = JoinedAttention()

    def forward(self, x: Tensor, context: Tensor | None = None, views: int = 1) -> Tensor:
        """x: (B, L, C), views of an object neighbours; context: (B or fewer, T, D)."""
        return self._attend(self, x, context, views=views)


class GatedGelu(nn.Module):
    """GEGLU (Shazeer 2020)."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, 2 * inner)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., inner)."""
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * F.gelu(gate)


class FeedForward(nn.Module):
    """A network of one hidden layer, four times as wide."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(GatedGelu(width, 4 * width), nn.Identity(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> the same."""
        return self.net(x)


class Block(nn.Module):
    """One layer of the transformer."""

    def __init__(self, width: int, heads: int, context: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn1 = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.attn2 = Attention(width, heads, context)
        self.norm3 = nn.LayerNorm(width)
        self.ff = FeedForward(width)

    def forward(self, x: Tensor, context: Tensor, views: int) -> Tensor:
        """x: (B, L, C); context: (B or fewer, T, D). Returns (B, L, C)."""
        x = self.attn1(self.norm1(x), views=views) + x
        x = self.attn2(self.norm2(x), context, views) + x
        return self.ff(self.norm3(x)) + x


class Transformer(nn.Module):
    """A layer over a map's pixels as tokens. linear: whether they are projected as tokens or as a map."""

    def __init__(self, channels: int, heads: int, context: int, groups: int, linear: bool) -> None:
        super().__init__()
        inner = channels // heads * heads
        self.norm = nn.GroupNorm(groups, channels, MAP_EPS)
        self.proj_in = nn.Linear(channels, inner) if linear else nn.Conv2d(channels, inner, 1)
        self.transformer_blocks = nn.ModuleList([Block(inner, heads, context)])
        self.proj_out = nn.Linear(inner, channels) if linear else nn.Conv2d(inner, channels, 1)
        self._linear = linear

    def forward(self, x: Tensor, context: Tensor, views: int) -> Tensor:
        """x: (B, C, h, w); context: (B or fewer, T, D). Returns (B, C, h, w)."""
        size = x.shape[2:]
        h = self.norm(x)
        h = self.proj_in(_tokens(h)) if self._linear else _tokens(self.proj_in(h))
        for block in self.transformer_blocks:
            h = block(h, context, views)
        return (_map(self.proj_out(h), *size) if self._linear else self.proj_out(_map(h, *size))) + x


def _tokens(x: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, h w, C)."""
    return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, x.shape[1])


def _map(x: Tensor, height: int, width: int) -> Tensor:
    """(B, h w, C) -> (B, C, h, w)."""
    return x.reshape(x.shape[0], height, width, x.shape[2]).permute(0, 3, 1, 2).contiguous()
