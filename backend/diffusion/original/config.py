# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the YAML of an original checkpoint and says what the equivalent diffusers parts are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from backend.diffusion.config import ModelConfig, ScheduleConfig
from backend.errors import UserError

# Options that change the arithmetic and have no counterpart here, with the value that leaves them off.
_UNET_OFF = {
    "use_scale_shift_norm": False, "resblock_updown": False, "use_new_attention_order": False, "dims": 2,
    "num_classes": None, "n_embed": None, "adm_in_channels": None, "num_attention_blocks": None,
    "disable_self_attentions": None, "disable_middle_self_attn": False, "conv_resample": True,
    "use_spatial_transformer": True, "num_heads_upsample": -1,
}  # fmt: skip
_VAE_OFF = {
    "double_z": True,
    "attn_type": "vanilla",
    "use_linear_attn": False,
    "tanh_out": False,
    "resamp_with_conv": True,
}


@dataclass(frozen=True)
class OriginalModel:
    """The diffusers arguments equivalent to one YAML, and what the key rules need to know."""

    unet: dict[str, Any]
    vae: dict[str, Any]
    image_size: int
    schedule: ScheduleConfig

    def model_config(self, name: str) -> ModelConfig:
        """What `mvdream.json` will say."""
        return ModelConfig(name=name, title=name, image_size=self.image_size, schedule=self.schedule)


def read_yaml(path: Path) -> OriginalModel:
    """The model a YAML file describes. Raises UserError naming the file and the entry that is wrong."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        return parse(data["model"]["params"])
    except FileNotFoundError:
        raise UserError(f"There is no configuration file {path}.") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"The configuration {path} can't be read: {error}") from error
    except KeyError as error:
        raise UserError(
            f"The configuration {path} lacks {error}. Is it the YAML of an MVDream model?"
        ) from None
    except (TypeError, ValueError, AttributeError) as error:
        raise UserError(f"The configuration {path} is not that of an MVDream model: {error}.") from error


def parse(params: Mapping[str, Any]) -> OriginalModel:
    """The same from the `model.params` of the YAML. Raises KeyError, ValueError or UserError."""
    if params.get("parameterization", "eps") != "eps":
        raise UserError(f"parameterization {params['parameterization']!r} is not supported, only 'eps'.")
    unet = params["unet_config"]["params"]
    first_stage = params["first_stage_config"]["params"]
    vae = _vae(first_stage["ddconfig"], first_stage["embed_dim"], params.get("scale_factor", 0.18215))
    return OriginalModel(
        unet=_unet(unet),
        vae=vae,
        image_size=int(unet["image_size"]) * 2 ** (len(vae["block_out_channels"]) - 1),
        schedule=ScheduleConfig(
            linear_start=params["linear_start"], linear_end=params["linear_end"], steps=params["timesteps"]
        ),
    )


def _unet(options: Mapping[str, Any]) -> dict[str, Any]:
    _refuse(options, _UNET_OFF, "unet_config")
    if options["camera_dim"] != 16:
        raise UserError(f"camera_dim {options['camera_dim']} is not supported: the camera is 16 numbers.")
    widths = [int(options["model_channels"]) * int(factor) for factor in options["channel_mult"]]
    levels = len(widths)
    attends = [2**level in options["attention_resolutions"] for level in range(levels)]
    return {
        "sample_size": options["image_size"],
        "in_channels": options["in_channels"],
        "out_channels": options["out_channels"],
        "block_out_channels": tuple(widths),
        "layers_per_block": _per_level(options["num_res_blocks"], levels),
        "down_block_types": tuple("CrossAttnDownBlock2D" if yes else "DownBlock2D" for yes in attends),
        "up_block_types": tuple("CrossAttnUpBlock2D" if yes else "UpBlock2D" for yes in reversed(attends)),
        # diffusers calls the number of heads "attention_head_dim", and keeps the name for compatibility.
        "attention_head_dim": tuple(_heads(options, width) for width in widths),
        "transformer_layers_per_block": _per_level(options.get("transformer_depth", 1), levels),
        "cross_attention_dim": options["context_dim"],
        "use_linear_projection": bool(options.get("use_linear_in_transformer", False)),
        "class_embed_type": "projection",
        "projection_class_embeddings_input_dim": 16,
        "norm_num_groups": 32,
    }


def _heads(options: Mapping[str, Any], width: int) -> int:
    """Heads of a level: a fixed width each (2.1) or a fixed number (1.5)."""
    head_width = options.get("num_head_channels", -1)
    if head_width != -1:
        if width % head_width:
            raise UserError(
                f"num_head_channels {head_width} does not divide the {width} channels of a level."
            )
        return width // head_width
    heads = options["num_heads"]
    if heads < 1 or width % heads:
        raise UserError(f"num_heads {heads} does not divide a level's {width} channels.")
    return heads


def _vae(options: Mapping[str, Any], embed_dim: int, scale: float) -> dict[str, Any]:
    _refuse(options, _VAE_OFF, "first_stage_config")
    widths = [int(options["ch"]) * int(factor) for factor in options["ch_mult"]]
    levels = len(widths)
    if embed_dim != options["z_channels"]:
        raise UserError(
            f"embed_dim {embed_dim} differs from z_channels {options['z_channels']}: not supported."
        )
    if {int(options["resolution"]) >> level for level in range(levels)} & set(options["attn_resolutions"]):
        raise UserError("attn_resolutions: attention outside the middle of the autoencoder is not supported.")
    return {
        "in_channels": options["in_channels"],
        "out_channels": options["out_ch"],
        "latent_channels": options["z_channels"],
        "block_out_channels": tuple(widths),
        "layers_per_block": options["num_res_blocks"],
        "down_block_types": ("DownEncoderBlock2D",) * levels,
        "up_block_types": ("UpDecoderBlock2D",) * levels,
        "sample_size": options["resolution"],
        "scaling_factor": scale,
        "norm_num_groups": 32,
    }


def _per_level(value: int | list[int], levels: int) -> tuple[int, ...]:
    values = (value,) * levels if isinstance(value, int) else tuple(value)
    if len(values) != levels:
        raise UserError(f"{list(values)} has not one entry for each of the {levels} levels.")
    return values


def _refuse(options: Mapping[str, Any], off: Mapping[str, Any], section: str) -> None:
    for name, value in off.items():
        if options.get(name, value) != value:
            raise UserError(f"{section}: {name} = {options[name]} is not supported.")
