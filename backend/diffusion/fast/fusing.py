# SPDX-License-Identifier: GPL-3.0-or-later
"""Which stock modules have a faster equal, and their exchange."""

from __future__ import annotations

import logging
from typing import Any

from torch import nn

from backend.diffusion.attention import JoinedAttention
from backend.diffusion.fast.attention import FusedMapAttention, FusedTransformer
from backend.diffusion.fast.blocks import FusedConv, FusedDownsample, FusedNorm, FusedResnet, FusedUpsample
from backend.diffusion.fast.sharing import share
from backend.diffusion.fast.twins import find_twins

log = logging.getLogger(__name__)


def fuse(network: nn.Module) -> int:
    """Replaces what has a faster equal in a frozen UNet or autoencoder, in place; how many modules that were.

    Parameters keep their names. A module of an unknown kind stays as it is, with all that is in it searched.
    """
    count = 0
    for parent in list(network.modules()):
        _fuse_ends(parent)
        for name, child in list(parent._modules.items()):
            fused = None if child is None else _fused(child)
            if fused is not None:
                setattr(parent, name, fused)
                count += 1
    share(network)
    _pair(network)
    return count


def _pair(network: Any) -> None:
    """The first blocks of a UNet, up to the first look at the prompt."""
    twins = find_twins(network)
    if twins is None:
        return
    first = network.down_blocks[0]
    resnet, attention = first.resnets[0], first.attentions[0]
    # Both or none: between them nothing else is done.
    if isinstance(resnet, FusedResnet) and isinstance(attention, FusedTransformer):
        resnet.twins = attention.twins = twins


def _fused(stock: nn.Module) -> nn.Module | None:
    """The faster equal, if there is one. Another version of diffusers may have other parts in a block."""
    try:
        return _equal(stock)
    except AttributeError as error:
        log.info("A %s is of another make (%s), so it stays as it is.", type(stock).__name__, error)
        return None


def _equal(stock: nn.Module) -> nn.Module | None:
    found: Any = stock
    kind = type(stock).__name__
    if kind == "ResnetBlock2D" and _is_plain_resnet(found):
        return FusedResnet(found)
    if kind == "Transformer2DModel" and _is_plain_transformer(found):
        return FusedTransformer(found)
    if kind == "Attention" and _is_map_attention(found):
        return FusedMapAttention(found)
    if kind == "Downsample2D" and found.use_conv and found.norm is None and _fits(found.conv):
        return FusedDownsample(found)
    if kind == "Upsample2D" and _is_plain_upsample(found):
        return FusedUpsample(found)
    return None


def _fuse_ends(network: Any) -> None:
    """The first and last layers of a UNet, an encoder, a decoder."""
    if type(network).__name__ not in ("UNet2DConditionModel", "Encoder", "Decoder"):
        return
    for name in ("conv_in", "conv_out"):
        if type(getattr(network, name, None)) is nn.Conv2d and _fits(getattr(network, name)):
            setattr(network, name, FusedConv(getattr(network, name)))
    ending = (getattr(network, "conv_norm_out", None), getattr(network, "conv_act", None))
    if type(ending[0]) is nn.GroupNorm and type(ending[1]) is nn.SiLU:
        network.conv_norm_out = FusedNorm(network.conv_norm_out)
        network.conv_act = nn.Identity()


def _fits(conv: Any) -> bool:
    plain = conv.groups == 1 and conv.dilation == (1, 1) and conv.padding_mode == "zeros"
    return isinstance(conv, nn.Conv2d) and plain and conv.bias is not None


def _is_plain_resnet(block: Any) -> bool:
    # Decoders say "group", which stock treats as the default without a time.
    timeless = block.time_embedding_norm == "group" and block.time_emb_proj is None
    kind = "default" if timeless else block.time_embedding_norm
    settings = (kind, block.output_scale_factor, block.skip_time_act, block.dropout.p)
    inner = block.upsample is None and block.downsample is None and type(block.nonlinearity) is nn.SiLU
    return settings == ("default", 1.0, False, 0.0) and inner and _fits(block.conv1) and _fits(block.conv2)


def _is_plain_transformer(model: Any) -> bool:
    return model.is_input_continuous and all(_is_plain_block(block) for block in model.transformer_blocks)


def _is_plain_block(block: Any) -> bool:
    if block.norm_type != "layer_norm" or block.only_cross_attention or block.attn2 is None:
        return False
    if block.pos_embed is not None or hasattr(block, "fuser") or block._chunk_size is not None:
        return False
    joined = all(isinstance(a.processor, JoinedAttention) for a in (block.attn1, block.attn2))
    # double_self_attention: the second attention looks at the tokens too.
    if not joined or not block.attn2.is_cross_attention or type(block.ff.net[0]).__name__ != "GEGLU":
        return False
    return all(
        layer.bias is not None for layer in (block.attn1.to_out[0], block.attn2.to_out[0], block.ff.net[2])
    )


def _is_map_attention(attn: Any) -> bool:
    inputs = (attn.spatial_norm, attn.norm_q, attn.norm_k, attn.norm_cross)
    plain = all(part is None or part is False for part in inputs) and attn.rescale_output_factor == 1
    stock = type(attn.processor).__name__ == "AttnProcessor2_0"
    return plain and stock and attn.residual_connection and isinstance(attn.group_norm, nn.GroupNorm)


def _is_plain_upsample(layer: Any) -> bool:
    plain = layer.use_conv and not layer.use_conv_transpose and layer.interpolate and layer.norm is None
    return plain and layer.name == "conv" and _fits(layer.conv)
