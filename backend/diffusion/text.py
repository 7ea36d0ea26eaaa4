# SPDX-License-Identifier: GPL-3.0-or-later
"""The text encoder: prompts to the context that cross-attention reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from backend.diffusion.tokenizer import Tokenizer

if TYPE_CHECKING:
    from transformers.models.clip.modeling_clip import CLIPTextModel


class TextEncoder(nn.Module):
    """CLIP text transformer behind a tokenizer: of words (small models) or byte pairs (published ones).

    Training calls `tokenize` once and `forward` with gradients; everything else calls `encode`.
    """

    def __init__(self, model: CLIPTextModel, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer

    def tokenize(self, prompts: Sequence[str]) -> Tensor:
        """Token ids (B, L) on the encoder's device; "" is the unconditional prompt. May raise UserError."""
        ids = [self.tokenizer.encode(prompt, allow_empty=True) for prompt in prompts]
        return torch.tensor(ids, dtype=torch.int64, device=self.model.device)

    def forward(self, ids: Tensor) -> Tensor:
        """ids: (B, L) -> (B, L, D), the last hidden state after the final layer norm."""
        return self.model(input_ids=ids).last_hidden_state

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> Tensor:
        """Prompts to context (B, L, D), without gradients. Raises UserError as `tokenize` does."""
        return self(self.tokenize(prompts))
