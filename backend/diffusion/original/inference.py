# SPDX-License-Identifier: GPL-3.0-or-later
"""Guesses the configuration of an original checkpoint from its tensors' shapes, for when there is no YAML."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from backend.diffusion.config import ScheduleConfig
from backend.diffusion.original.config import OriginalModel, TextOptions, parse_unet, parse_vae
from backend.diffusion.original.keys import UNET_PREFIX, VAE_PREFIX
from backend.errors import UserError

Shapes = Mapping[str, tuple[int, ...]]
# Heads of attention leave no trace in shapes. By the width of the text context: 2.1 has heads 64 wide, 1.5
# has 8.
_HEADS = {1024: {"num_head_channels": 64}, 768: {"num_heads": 8}}
_LATENT_SIDE = 32  # of both published models: images of 256


def infer(shapes: Shapes, schedule: ScheduleConfig, heads: Mapping[str, int] | None = None) -> OriginalModel:
    """The model of a checkpoint with these tensors.

    Widths, depths, attention levels, the kind of projections, context and camera are all visible. The number
    of attention heads is not: a context 1024 wide means heads of 64 channels (2.1), 768 means 8 heads (1.5),
    and any other context needs the YAML. Neither is the scale of the latents: 0.18215, as in all of Stable
    Diffusion. Raises UserError naming what is missing.
    """
    unet = {key.removeprefix(UNET_PREFIX): s for key, s in shapes.items() if key.startswith(UNET_PREFIX)}
    vae = {key.removeprefix(VAE_PREFIX): s for key, s in shapes.items() if key.startswith(VAE_PREFIX)}
    denoiser = parse_unet(infer_unet(unet, heads))
    ours = parse_vae(*_vae(vae), 0.18215)
    side = _LATENT_SIDE * 2 ** (len(ours["block_out_channels"]) - 1)
    return OriginalModel(denoiser, ours, side, schedule, TextOptions())


def infer_unet(shapes: Shapes, heads: Mapping[str, int] | None = None) -> dict[str, Any]:
    """The options a YAML would have for a UNet with these tensors (no prefix). Raises UserError."""
    width, inputs = _shape(shapes, "input_blocks.0.0.weight", 4)[:2]
    levels = _levels(shapes)
    middle = _blocks(shapes, "middle_block.1")
    if middle == 0:
        raise UserError("its UNet has no attention in the middle block.")
    context = _shape(shapes, "middle_block.1.transformer_blocks.0.attn2.to_k.weight", 2)[1]
    heads = heads or _HEADS.get(context)
    if heads is None:
        raise UserError(
            "the number of attention heads can't be seen in the weights of a model whose context is"
            f" {context} wide."
            " Pass its YAML with --config."
        )
    if any(channels % width for _, channels, _ in levels):
        raise UserError(f"the widths of its UNet's levels are not multiples of {width}.")
    return {
        "image_size": _LATENT_SIDE,
        "in_channels": inputs,
        "out_channels": _shape(shapes, "out.2.weight", 4)[0],
        "model_channels": width,
        "num_res_blocks": [count for count, _, _ in levels],
        "channel_mult": [channels // width for _, channels, _ in levels],
        "attention_resolutions": [2**level for level, (_, _, depth) in enumerate(levels) if depth],
        "transformer_depth": [depth or middle for _, _, depth in levels],
        "context_dim": context,
        "use_linear_in_transformer": len(shapes["middle_block.1.proj_in.weight"]) == 2,
        "camera_dim": _shape(shapes, "camera_embed.0.weight", 2)[1],
        **heads,
    }


def _levels(shapes: Shapes) -> list[tuple[int, int, int]]:
    """For each level on the way down: residual blocks, channels, transformer depth (0: no attention)."""
    levels: list[tuple[int, int, int]] = []
    count = number = 0
    while True:
        number += 1
        block = f"input_blocks.{number}"
        if f"{block}.0.in_layers.2.weight" in shapes:
            count += 1
            last = _shape(shapes, f"{block}.0.in_layers.2.weight", 4)[0], _blocks(shapes, f"{block}.1")
        elif count == 0:
            raise UserError(f"it lacks {UNET_PREFIX}{block}: its UNet is not complete.")
        else:
            levels.append((count, *last))
            count = 0
            if f"{block}.0.op.weight" not in shapes:
                return levels


def _blocks(shapes: Shapes, prefix: str) -> int:
    return _numbers(shapes, f"{prefix}.transformer_blocks.")


def _vae(shapes: Shapes) -> tuple[dict[str, Any], int]:
    levels = _numbers(shapes, "encoder.down.")
    width, inputs = _shape(shapes, "encoder.conv_in.weight", 4, VAE_PREFIX)[:2]
    tops = [_shape(shapes, f"encoder.down.{n}.block.0.conv1.weight", 4, VAE_PREFIX)[0] for n in range(levels)]
    z_channels, embed_dim = _shape(shapes, "post_quant_conv.weight", 4, VAE_PREFIX)[:2]
    attends = [256 >> n for n in range(levels) if f"encoder.down.{n}.attn.0.q.weight" in shapes]
    if any(top % width for top in tops):
        raise UserError(f"the widths of its autoencoder's levels are not multiples of {width}.")
    options = {
        "z_channels": z_channels,
        "resolution": 256,
        "in_channels": inputs,
        "out_ch": _shape(shapes, "decoder.conv_out.weight", 4, VAE_PREFIX)[0],
        "ch": width,
        "ch_mult": [top // width for top in tops],
        "num_res_blocks": _numbers(shapes, "encoder.down.0.block."),
        "attn_resolutions": attends,
    }
    return options, embed_dim


def _numbers(shapes: Shapes, prefix: str) -> int:
    """How many different numbers follow a prefix."""
    pattern = re.compile(re.escape(prefix) + r"(\d+)\.")
    return len({match[1] for match in map(pattern.match, shapes) if match})


def _shape(shapes: Shapes, key: str, sides: int, prefix: str = UNET_PREFIX) -> tuple[int, ...]:
    if key not in shapes:
        raise UserError(f"it lacks {prefix}{key}.")
    if len(shapes[key]) != sides:
        raise UserError(f"{prefix}{key} has shape {list(shapes[key])} where {sides} sides are expected.")
    return shapes[key]
