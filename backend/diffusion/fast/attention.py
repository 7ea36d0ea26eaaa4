# SPDX-License-Identifier: GPL-3.0-or-later
"""diffusers' attention blocks without a copy of a map: channels-last maps are tokens already."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.diffusion.fast.blocks import Replacement
from backend.diffusion.fast.joined import Joined
from backend.diffusion.fast.operations import add, fork_norm, geglu

_WIDEST_FLASH = 256
"""Wider heads have no fast fused kernel; their gradient is faster as four matrix products."""


class FusedMapAttention(Replacement):
    """The autoencoder's self-attention over a map, with its norm and residual."""

    group_norm: nn.GroupNorm
    to_out: Any

    def __init__(self, stock: Any) -> None:
        super().__init__(stock)
        self.heads = stock.heads
        self._project = Joined((stock.to_q, stock.to_k, stock.to_v))

    def forward(self, hidden_states: Tensor, temb: Tensor | None = None) -> Tensor:
        """(B, C, h, w) -> the same."""
        y, x = fork_norm(hidden_states, self.group_norm, act=False)
        q, k, v = (_heads(part, self.heads) for part in self._project(_tokens(y)))
        if q.is_cuda and q.shape[-1] > _WIDEST_FLASH:
            scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
            mixed = torch.softmax(scores, -1, dtype=torch.float32).to(v.dtype) @ v
        else:
            mixed = F.scaled_dot_product_attention(q, k, v)
        out = F.linear(mixed.transpose(1, 2).flatten(2), self.to_out[0].weight)
        return add(_map(out, x), self.to_out[0].bias, x)


class FusedTransformer(Replacement):
    """Transformer2DModel of plain blocks: self-attention joined over views, cross-attention, GEGLU."""

    norm: nn.GroupNorm
    proj_in: nn.Linear | nn.Conv2d
    proj_out: nn.Linear | nn.Conv2d
    transformer_blocks: Any

    def __init__(self, stock: Any) -> None:
        super().__init__(stock)
        self._self = [Joined((b.attn1.to_q, b.attn1.to_k, b.attn1.to_v)) for b in stock.transformer_blocks]
        self._cross = [Joined((b.attn2.to_k, b.attn2.to_v)) for b in stock.transformer_blocks]

    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        cross_attention_kwargs: dict[str, Any] | None = None,
        **_: Any,
    ) -> tuple[Tensor]:
        """hidden_states: (B, C, h, w); encoder_hidden_states: (B, T, D). Masks are not known here."""
        views = (cross_attention_kwargs or {}).get("views", 1)
        y, x = fork_norm(hidden_states, self.norm, act=False)
        tokens = _linear(self.proj_in, _tokens(y))
        for block, own, cross in zip(self.transformer_blocks, self._self, self._cross, strict=True):
            tokens = tokens + _attend(block.attn1, own(block.norm1(tokens)), tokens.shape[0] // views)
            query = block.attn2.to_q(block.norm2(tokens))
            tokens = tokens + _attend(block.attn2, (query, *cross(encoder_hidden_states)), tokens.shape[0])
            tokens = tokens + block.ff.net[2](geglu(block.ff.net[0].proj(block.norm3(tokens))))
        return (_map(_linear(self.proj_out, tokens), x) + x,)


def _attend(attn: Any, parts: tuple[Tensor, ...], groups: int) -> Tensor:
    """(B, L, C) from queries, keys and values, B of them in `groups` that look at one another."""
    batch, length = parts[0].shape[:2]
    # Views are neighbours, so (B, L, C) reads as (groups, B / groups L, C) without a copy.
    q, k, v = (_heads(part.reshape(groups, -1, part.shape[-1]), attn.heads) for part in parts)
    mixed = F.scaled_dot_product_attention(q, k, v)
    return attn.to_out[0](mixed.transpose(1, 2).reshape(batch, length, -1))


def _heads(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _linear(layer: nn.Linear | nn.Conv2d, x: Tensor) -> Tensor:
    return F.linear(x, layer.weight.flatten(1), layer.bias)


def _tokens(x: Tensor) -> Tensor:
    """(B, C, h, w) as (B, h w, C): a view where x is channels-last."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


def _map(tokens: Tensor, like: Tensor) -> Tensor:
    """(B, h w, C) as the channels-last map (B, C, h, w)."""
    return tokens.unflatten(1, like.shape[2:]).permute(0, 3, 1, 2)
