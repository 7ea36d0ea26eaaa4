# SPDX-License-Identifier: GPL-3.0-or-later
"""Key names: for each parameter of the diffusers parts, its name in an original checkpoint.

The original numbers its UNet blocks in one sequence, down and up, and the decoder's levels backwards; inside
the blocks only a few names differ. So block prefixes (by rule) and two tables of names are all there is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from backend.diffusion.original.config import OriginalModel

UNET_PREFIX = "model.diffusion_model."
VAE_PREFIX = "first_stage_model."
TEXT_PREFIX = "cond_stage_model."

_UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "class_embedding.linear_1": "camera_embed.0",
    "class_embedding.linear_2": "camera_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_UNET_LEAVES = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_VAE_LEAVES = {
    "conv_shortcut": "nin_shortcut",
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
}
Pairs = Iterator[tuple[str, str]]


def unet_names(model: OriginalModel, keys: Iterable[str]) -> dict[str, str]:
    """Diffusers UNet parameter names to the checkpoint's. Raises KeyError for a name no rule covers."""
    prefixes = {**_UNET_ENDS, **dict(_unet_blocks(model))}
    return {key: UNET_PREFIX + _translate(key, prefixes, _UNET_LEAVES) for key in keys}


def vae_names(model: OriginalModel, keys: Iterable[str]) -> dict[str, str]:
    """The same for the autoencoder."""
    prefixes = dict(_vae_blocks(model))
    return {key: VAE_PREFIX + _translate(key, prefixes, _VAE_LEAVES) for key in keys}


def _unet_blocks(model: OriginalModel) -> Pairs:
    layers = model.unet["layers_per_block"]
    last = len(layers) - 1
    number = 1  # input_blocks.0 is conv_in
    for level, count in enumerate(layers):
        for layer in range(count):
            yield f"down_blocks.{level}.resnets.{layer}", f"input_blocks.{number}.0"
            yield f"down_blocks.{level}.attentions.{layer}", f"input_blocks.{number}.1"
            number += 1
        if level != last:
            yield f"down_blocks.{level}.downsamplers.0.conv", f"input_blocks.{number}.0.op"
            number += 1
    yield "mid_block.resnets.0", "middle_block.0"
    yield "mid_block.attentions.0", "middle_block.1"
    yield "mid_block.resnets.1", "middle_block.2"
    number = 0
    for level, count in enumerate(reversed(layers)):
        for layer in range(count + 1):
            yield f"up_blocks.{level}.resnets.{layer}", f"output_blocks.{number}.0"
            yield f"up_blocks.{level}.attentions.{layer}", f"output_blocks.{number}.1"
            number += 1
        if level != last:
            # Appended to the last block of the level, after its attention if it has one.
            place = 2 if model.unet["up_block_types"][level].startswith("CrossAttn") else 1
            yield f"up_blocks.{level}.upsamplers.0.conv", f"output_blocks.{number - 1}.{place}.conv"


def _vae_blocks(model: OriginalModel) -> Pairs:
    layers = model.vae["layers_per_block"]
    last = len(model.vae["block_out_channels"]) - 1
    yield from ((name, name) for name in ("quant_conv", "post_quant_conv"))
    for side in ("encoder", "decoder"):
        yield f"{side}.conv_in", f"{side}.conv_in"
        yield f"{side}.conv_norm_out", f"{side}.norm_out"
        yield f"{side}.conv_out", f"{side}.conv_out"
        yield f"{side}.mid_block.resnets.0", f"{side}.mid.block_1"
        yield f"{side}.mid_block.attentions.0", f"{side}.mid.attn_1"
        yield f"{side}.mid_block.resnets.1", f"{side}.mid.block_2"
    for level in range(last + 1):
        down, up = f"encoder.down.{level}", f"decoder.up.{last - level}"
        for layer in range(layers):
            yield f"encoder.down_blocks.{level}.resnets.{layer}", f"{down}.block.{layer}"
            yield f"encoder.down_blocks.{level}.attentions.{layer}", f"{down}.attn.{layer}"
        for layer in range(layers + 1):
            yield f"decoder.up_blocks.{level}.resnets.{layer}", f"{up}.block.{layer}"
            yield f"decoder.up_blocks.{level}.attentions.{layer}", f"{up}.attn.{layer}"
        if level != last:
            yield f"encoder.down_blocks.{level}.downsamplers.0.conv", f"{down}.downsample.conv"
            yield f"decoder.up_blocks.{level}.upsamplers.0.conv", f"{up}.upsample.conv"


def _translate(key: str, prefixes: dict[str, str], leaves: dict[str, str]) -> str:
    """'block.leaf.weight' with both names replaced; a leaf that no table names keeps its name."""
    parts = key.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        block = ".".join(parts[:cut])
        if block in prefixes:
            leaf, kind = ".".join(parts[cut:-1]), parts[-1]
            return ".".join(filter(None, (prefixes[block], leaves.get(leaf, leaf), kind)))
    raise KeyError(key)
