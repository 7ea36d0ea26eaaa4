# SPDX-License-Identifier: GPL-3.0-or-later
"""Products that all blocks of a fused UNet make of the same tensor, made at once: time's and prompt's."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.diffusion.fast.attention import FusedTransformer
from backend.diffusion.fast.blocks import FusedResnet
from backend.diffusion.fast.joined import Shared


class _Times(Shared):
    """A resnet's projection of the time and the bias of the convolution before, which go into one norm."""

    def __init__(self, network: nn.Module, resnets: Sequence[FusedResnet]) -> None:
        super().__init__(
            network, [block.time_emb_proj for block in resnets if block.time_emb_proj is not None]
        )
        self._convolutions = [block.conv1 for block in resnets]

    def outputs(self, x: Tensor) -> tuple[Tensor, ...]:
        """temb (B, E) -> (B, C) for each resnet."""
        bias = torch.cat([conv.bias for conv in self._convolutions if conv.bias is not None])
        return self.joined.split(self.joined.product(F.silu(x)) + bias)


def share(network: nn.Module) -> None:
    """Joins what fused blocks of `network` make of the time and of the context, in place. For UNets.

    Does nothing to other networks, nor a second time. Layers of unlike inputs stay alone.
    """
    resnets = [block for block in network.modules() if isinstance(block, FusedResnet) and block.time_emb_proj]
    resnets = [block for block in resnets if not block.shares]
    if _alike([block.time_emb_proj for block in resnets]):
        times = _Times(network, resnets)
        for number, block in enumerate(resnets):
            block.share_time(times, number)
    models = [
        model for model in network.modules() if isinstance(model, FusedTransformer) and not model.shares
    ]
    layers = [
        layer for model in models for b in model.transformer_blocks for layer in (b.attn2.to_k, b.attn2.to_v)
    ]
    if _alike(layers):
        contexts, first = Shared(network, layers), 0
        for model in models:
            model.share_context(contexts, first)
            first += 2 * len(model.transformer_blocks)


def _alike(layers: Sequence[nn.Linear | None]) -> bool:
    """Whether there are several layers that one product can hold."""
    kinds = {(layer.in_features, layer.bias is None) for layer in layers if layer is not None}
    return len(layers) > 1 and len(kinds) == 1
