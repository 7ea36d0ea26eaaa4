# SPDX-License-Identifier: GPL-3.0-or-later
"""Attention blocks without a copy of a map: channels-last maps are tokens already."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.diffusion.fast.blocks import Replacement
from backend.diffusion.fast.joined import Joined, Shared
from backend.diffusion.fast.operations import fork_norm, geglu, layer_norm
from backend.diffusion.fast.products import (
    add_linear,
    add_linear_map,
    add_linear_norm,
    as_tokens,
    linear,
)
from backend.diffusion.fast.twins import Twins
from backend.diffusion.lean.autoencoder import MapAttention
from backend.diffusion.lean.transformer import Transformer

_WIDEST_FLASH = 256
"""Wider heads have no fast fused kernel; their gradient is faster as four matrix products."""


class FusedMapAttention(Replacement):
    """The autoencoder's self-attention over a map, with its norm and residual."""

    group_norm: nn.GroupNorm
    to_out: Any

    def __init__(self, lean: MapAttention) -> None:
        super().__init__(lean)
        self._project = Joined((lean.to_q, lean.to_k, lean.to_v))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same."""
        y, x = fork_norm(x, self.group_norm, act=False)
        q, k, v = (_heads(part, 1) for part in self._project(as_tokens(y)))
        if q.is_cuda and q.shape[-1] > _WIDEST_FLASH:
            scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
            mixed = torch.softmax(scores, -1, dtype=torch.float32).to(v.dtype) @ v
        else:
            mixed = F.scaled_dot_product_attention(q, k, v)
        return add_linear_map(x, mixed.transpose(1, 2).flatten(2), self.to_out[0])


class FusedTransformer(Replacement):
    """The UNet's transformer: self-attention joined over views, cross-attention, GEGLU."""

    norm: nn.GroupNorm
    proj_in: nn.Linear | nn.Conv2d
    proj_out: nn.Linear | nn.Conv2d
    transformer_blocks: Any

    def __init__(self, lean: Transformer) -> None:
        super().__init__(lean)
        blocks: Any = lean.transformer_blocks
        self._self = [Joined((b.attn1.to_q, b.attn1.to_k, b.attn1.to_v)) for b in blocks]
        self._cross = [Joined((b.attn2.to_k, b.attn2.to_v)) for b in blocks]
        self._shared: Shared | None = None
        self._first = 0
        self.twins = Twins()

    @property
    def shares(self) -> bool:
        """Whether a part comes from elsewhere."""
        return self._shared is not None

    def share_context(self, shared: Shared, first: int) -> None:
        """Keys and values of the context are outputs of `shared`, in the blocks' order from `first` on."""
        self._shared, self._first = shared, first

    def forward(self, x: Tensor, context: Tensor, views: int) -> Tensor:
        """x: (B, C, h, w); context: (B', T, D). Returns (B, C, h, w).

        B' may divide B: each context then belongs to B / B' neighbours.
        """
        whole, contexts = x, context.shape[0]
        y, x = fork_norm(self.twins.one(whole), self.norm, act=False)
        tokens = linear(as_tokens(y), self.proj_in.weight, self.proj_in.bias)
        for number, (block, own) in enumerate(zip(self.transformer_blocks, self._self, strict=True)):
            ending = block.ff.net[2]
            mixed = _attend(block.attn1, own(layer_norm(tokens, block.norm1)), tokens.shape[0] // views)
            tokens, y = add_linear_norm(tokens, mixed, block.attn1.to_out[0], block.norm2)
            if tokens.shape[0] < whole.shape[0]:
                tokens, y, x = self.twins.both(tokens), self.twins.both(y), whole
            query = linear(y, block.attn2.to_q.weight, block.attn2.to_q.bias)
            parts = (query, *self._seen(context, number))
            mixed = _attend(block.attn2, parts, contexts)
            # The last layer's bias rides along here, its product is added by the product itself.
            tokens, y = add_linear_norm(tokens, mixed, block.attn2.to_out[0], block.norm3, ending.bias)
            first = block.ff.net[0].proj
            tokens = add_linear(tokens, geglu(linear(y, first.weight, first.bias)), ending.weight)
        return add_linear_map(x, tokens, self.proj_out)

    def _seen(self, context: Tensor, number: int) -> tuple[Tensor, ...]:
        """A block's keys and values of the context."""
        if self._shared is None:
            return self._cross[number](context)
        start = self._first + 2 * number
        return self._shared(context)[start : start + 2]


def _attend(attn: Any, parts: tuple[Tensor, ...], groups: int) -> Tensor:
    """(B, L, C) from queries, keys and values, in `groups` that look at one another; no last layer."""
    batch, length = parts[0].shape[:2]
    # Views are neighbours, so (B, L, C) reads as (groups, B / groups L, C) without a copy.
    q, k, v = (_heads(part.reshape(groups, -1, part.shape[-1]), attn.heads) for part in parts)
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, length, -1)


def _heads(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)
