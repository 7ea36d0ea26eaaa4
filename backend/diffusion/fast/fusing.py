# SPDX-License-Identifier: GPL-3.0-or-later
"""Which parts of the lean networks have a faster equal, and their exchange."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from backend.diffusion.fast.attention import FusedMapAttention, FusedTransformer
from backend.diffusion.fast.blocks import FusedConv, FusedDownsample, FusedNorm, FusedResnet, FusedUpsample
from backend.diffusion.fast.sharing import share
from backend.diffusion.fast.twins import find_twins
from backend.diffusion.lean.autoencoder import Decoder, Encoder, MapAttention
from backend.diffusion.lean.blocks import Downsample, Resnet, Upsample
from backend.diffusion.lean.transformer import Transformer
from backend.diffusion.lean.unet import UNet

_FASTER: Mapping[type[nn.Module], Callable[[Any], nn.Module]] = {
    Resnet: FusedResnet,
    Transformer: FusedTransformer,
    MapAttention: FusedMapAttention,
    Downsample: FusedDownsample,
    Upsample: FusedUpsample,
}


def fuse(network: nn.Module) -> int:
    """Replaces what has a faster equal in a frozen lean network, in place; how many modules that were.

    Parameters keep their names. What is of another make, as in a stock network, stays as it is.
    """
    count = 0
    for parent in list(network.modules()):
        if isinstance(parent, UNet | Encoder | Decoder):
            _fuse_ends(parent)
        for name, child in list(parent._modules.items()):
            if child is not None and (faster := _FASTER.get(type(child))):
                setattr(parent, name, faster(child))
                count += 1
    share(network)
    if isinstance(network, UNet):
        _pair(network)
    return count


def _fuse_ends(network: Any) -> None:
    """The first and last layers of a UNet, an encoder, a decoder."""
    for name in ("conv_in", "conv_out"):
        if isinstance(conv := getattr(network, name), nn.Conv2d):
            setattr(network, name, FusedConv(conv))
    if isinstance(network.conv_norm_out, nn.GroupNorm):
        network.conv_norm_out, network.conv_act = FusedNorm(network.conv_norm_out), nn.Identity()


def _pair(network: Any) -> None:
    """The first blocks of a UNet, up to the first look at the prompt."""
    twins = find_twins(network)
    if twins is not None:
        first = network.down_blocks[0]
        first.resnets[0].twins = first.attentions[0].twins = twins
