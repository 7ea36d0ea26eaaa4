# SPDX-License-Identifier: GPL-3.0-or-later
"""CLIP's text transformer. It is called as that of transformers is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Read(NamedTuple):
    """What the model returns; last_hidden_state: (B, L, D)."""

    last_hidden_state: Tensor


class TextModel(nn.Module):
    """Tokens to a context, each looking at those before it.

    settings: of `text_settings`.
    """

    def __init__(self, settings: SimpleNamespace) -> None:
        super().__init__()
        self.config = settings
        width = settings.hidden_size
        self.embeddings = nn.Module()
        self.embeddings.token_embedding = _table(settings.vocab_size, width)
        self.embeddings.position_embedding = _table(settings.max_position_embeddings, width)
        self.encoder = nn.Module()
        layers = [Layer(settings) for _ in range(settings.num_hidden_layers)]
        self.encoder.layers = nn.ModuleList(layers)
        self.final_layer_norm = nn.LayerNorm(width, settings.layer_norm_eps)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.final_layer_norm.weight.device

    def forward(self, input_ids: Tensor) -> Read:
        """input_ids: (B, L)."""
        embeddings: nn.Module = self.embeddings
        places = torch.arange(input_ids.shape[1], device=input_ids.device)[None]
        x = embeddings.token_embedding(input_ids) + embeddings.position_embedding(places)  # type: ignore[operator]
        for layer in self.encoder.layers:  # type: ignore[union-attr]
            x = layer(x)
        return Read(self.final_layer_norm(x))


class Layer(nn.Module):
    """Attention to what came before, and a network."""

    def __init__(self, settings: SimpleNamespace) -> None:
        super().__init__()
        width, inner, eps = settings.hidden_size, settings.intermediate_size, settings.layer_norm_eps
        self.self_attn = CausalAttention(width, settings.num_attention_heads)
        self.layer_norm1 = nn.LayerNorm(width, eps)
        self.mlp = Network(width, inner, settings.hidden_act)
        self.layer_norm2 = nn.LayerNorm(width, eps)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) -> the same."""
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class CausalAttention(nn.Module):
    """Of each token to itself and those before it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.k_proj, self.v_proj, self.q_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))
        self._heads = heads

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) -> the same."""
        query, key, value = (
            to(x).unflatten(2, (self._heads, -1)).transpose(1, 2)
            for to in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


class Network(nn.Module):
    """One hidden layer."""

    def __init__(self, width: int, inner: int, act: str) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, inner), nn.Linear(inner, width)
        self._quick = act == "quick_gelu"

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> the same."""
        h = self.fc1(x)
        return self.fc2(h * torch.sigmoid(1.702 * h) if self._quick else F.gelu(h))


def _table(rows: int, width: int) -> nn.Embedding:
    """Embeddings (rows, width), not drawn: on the meta device that would import PyTorch's compiler."""
    return nn.Embedding.from_pretrained(torch.empty(rows, width))
