# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the YAML of an original checkpoint and says what the equivalent diffusers parts are."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from backend.diffusion.config import (
    PUBLISHED_CAPTION_SUFFIX,
    PUBLISHED_NEGATIVE_PROMPT,
    ModelConfig,
    ScheduleConfig,
)
from backend.errors import UserError

log = logging.getLogger(__name__)

# Options that change the arithmetic and have no counterpart here, with the value that leaves them off.
_UNET_OFF = {
    "use_scale_shift_norm": False, "resblock_updown": False, "use_new_attention_order": False, "dims": 2,
    "num_classes": None, "n_embed": None, "adm_in_channels": None, "num_attention_blocks": None,
    "disable_self_attentions": None, "disable_middle_self_attn": False, "conv_resample": True,
    "use_spatial_transformer": True, "num_heads_upsample": -1,
}  # fmt: skip
_GROUPS = 32  # of every group normalization
_VAE_OFF = {
    "double_z": True,
    "attn_type": "vanilla",
    "use_linear_attn": False,
    "tanh_out": False,
    "resamp_with_conv": True,
}


OPEN_CLIP, CLIP, NO_TEXT = "open_clip", "clip", "none"
_TEXT_TARGETS = {"FrozenOpenCLIPEmbedder": OPEN_CLIP, "FrozenCLIPEmbedder": CLIP, "Identity": NO_TEXT}


@dataclass(frozen=True)
class TextOptions:
    """What is known of the text tower. None: as the checkpoint has it, used as the published model of its
    kind does (OpenCLIP "penultimate", CLIP "last")."""

    kind: str | None = None
    layer: str | None = None
    heads: int | None = None


@dataclass(frozen=True)
class OriginalModel:
    """The diffusers arguments equivalent to one YAML, and what the key rules need to know."""

    unet: dict[str, Any]
    vae: dict[str, Any]
    image_size: int
    schedule: ScheduleConfig
    text: TextOptions = TextOptions()

    def model_config(self, name: str) -> ModelConfig:
        """What `mvdream.json` will say."""
        return ModelConfig(
            name=name,
            title=name,
            image_size=self.image_size,
            negative_prompt=PUBLISHED_NEGATIVE_PROMPT,
            caption_suffix=PUBLISHED_CAPTION_SUFFIX,
            schedule=self.schedule,
        )


def read_yaml(path: Path) -> OriginalModel:
    """The model a YAML file describes. Raises UserError naming the file and the entry that is wrong."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        return parse(_named(_named(data, "the file")["model"], "model")["params"])
    except FileNotFoundError:
        raise UserError(f"There is no configuration file {path}.") from None
    except OSError as error:
        raise UserError(f"The configuration {path} can't be read: {error.strerror or error}.") from error
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        place = getattr(error, "problem_mark", None)
        where = "" if place is None else f" (line {place.line + 1} is wrong)"
        raise UserError(f"The configuration {path} is no YAML file{where}.") from error
    except _NotNamed as error:
        raise UserError(
            f"The configuration {path} is not that of an MVDream model: {error} holds no named entries."
        ) from error
    except KeyError as error:
        raise UserError(
            f"The configuration {path} lacks {error}. Is it the YAML of an MVDream model?"
        ) from None
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        log.debug("%s: %r", path, error)
        raise UserError(
            f"The configuration {path} is not that of an MVDream model: one of its entries is of the wrong"
            " kind, such as a word where a number belongs."
        ) from error


class _NotNamed(Exception):
    """A section that is no mapping; the text is its name."""


def _named(section: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(section, Mapping):
        raise _NotNamed(name)
    return section


def parse(params: Mapping[str, Any]) -> OriginalModel:
    """The same from the `model.params` of the YAML. Raises KeyError, ValueError or UserError."""
    params = _named(params, "params")
    if params.get("parameterization", "eps") != "eps":
        raise UserError(f"parameterization {params['parameterization']!r} is not supported, only 'eps'.")
    unet, first_stage = (
        _named(_named(params[name], name)["params"], f"params of {name}")
        for name in ("unet_config", "first_stage_config")
    )
    vae = parse_vae(
        _named(first_stage["ddconfig"], "ddconfig"),
        first_stage["embed_dim"],
        params.get("scale_factor", 0.18215),
    )
    return OriginalModel(
        unet=parse_unet(unet),
        vae=vae,
        image_size=int(unet["image_size"]) * 2 ** (len(vae["block_out_channels"]) - 1),
        schedule=_schedule(params),
        text=_text(params.get("cond_stage_config")),
    )


def _schedule(params: Mapping[str, Any]) -> ScheduleConfig:
    # What the original calls linear is linear in the square roots; its defaults are ours.
    _refuse(params, {"beta_schedule": "linear", "given_betas": None}, "params")
    names = {"linear_start": "linear_start", "linear_end": "linear_end", "timesteps": "steps"}
    return ScheduleConfig(**{ours: params[name] for name, ours in names.items() if name in params})


def _text(section: Mapping[str, Any] | None) -> TextOptions:
    if section is None:
        return TextOptions()
    section = _named(section, "cond_stage_config")
    kind = _TEXT_TARGETS.get(section["target"].rpartition(".")[2])
    if kind is None:
        raise UserError(f"cond_stage_config: {section['target']} is not supported.")
    options = section.get("params") or {}
    layer = options.get("layer", "last")
    if layer not in (("last", "penultimate") if kind == OPEN_CLIP else ("last",)):
        raise UserError(f"cond_stage_config: layer = {layer} is not supported.")
    return TextOptions(kind, layer, options.get("heads"))


def parse_unet(options: Mapping[str, Any]) -> dict[str, Any]:
    """UNet2DConditionModel's arguments from `unet_config.params`. Raises as `parse` does."""
    _refuse(options, _UNET_OFF, "unet_config")
    if options["camera_dim"] != 16:
        raise UserError(f"camera_dim {options['camera_dim']} is not supported: the camera is 16 numbers.")
    if options["channel_mult"][0] != 1:
        # The original can't run it either: its last convolution wants model_channels.
        raise UserError(f"channel_mult {options['channel_mult']} must begin with 1.")
    widths = _widths(options["model_channels"], options["channel_mult"], "unet_config")
    levels = len(widths)
    attends = [2**level in options["attention_resolutions"] for level in range(levels)]
    return {
        "sample_size": options["image_size"],
        "in_channels": options["in_channels"],
        "out_channels": options["out_channels"],
        "block_out_channels": widths,
        "layers_per_block": _per_level(options["num_res_blocks"], levels),
        "down_block_types": tuple("CrossAttnDownBlock2D" if yes else "DownBlock2D" for yes in attends),
        "up_block_types": tuple("CrossAttnUpBlock2D" if yes else "UpBlock2D" for yes in reversed(attends)),
        # diffusers calls the number of heads "attention_head_dim", and keeps the name for compatibility.
        "attention_head_dim": tuple(
            _heads(options, width, used) for width, used in zip(widths, [*attends[:-1], True], strict=True)
        ),
        "transformer_layers_per_block": _per_level(options.get("transformer_depth", 1), levels),
        "cross_attention_dim": _context(options["context_dim"]),
        "use_linear_projection": bool(options.get("use_linear_in_transformer", False)),
        "class_embed_type": "projection",
        "projection_class_embeddings_input_dim": 16,
        "norm_num_groups": _GROUPS,
    }


def _widths(base: int, factors: list[int], section: str) -> tuple[int, ...]:
    widths = tuple(int(base) * int(factor) for factor in factors)
    if unfit := [width for width in widths if width < 1 or width % _GROUPS]:
        raise UserError(
            f"{section}: a level of {unfit[0]} channels has not {_GROUPS} equal groups to normalize."
        )
    return widths


def _context(width: int | list[int]) -> int:
    """A list names the context of each transformer layer: here they all read the same."""
    widths = {width} if isinstance(width, int) else set(width)
    if len(widths) != 1:
        raise UserError(f"context_dim {width} is not supported: all layers must read the same context.")
    return int(widths.pop())


def _heads(options: Mapping[str, Any], width: int, used: bool = True) -> int:
    """Heads of a level: a fixed width each (2.1) or a fixed number (1.5); 1 where there is no attention."""
    if not used:
        return 1
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


def parse_vae(options: Mapping[str, Any], embed_dim: int, scale: float) -> dict[str, Any]:
    """AutoencoderKL's arguments from `first_stage_config.params`. Raises as `parse` does."""
    kind = str(options.get("attn_type", "vanilla"))
    options = {**options, "attn_type": kind.removesuffix("-xformers")}  # only the implementation differs
    _refuse(options, _VAE_OFF, "first_stage_config")
    if options["ch_mult"][0] != 1:
        raise UserError(f"first_stage_config: ch_mult {options['ch_mult']} must begin with 1.")
    widths = _widths(options["ch"], options["ch_mult"], "first_stage_config")
    levels = len(widths)
    if embed_dim != options["z_channels"]:
        raise UserError(
            f"embed_dim {embed_dim} differs from z_channels {options['z_channels']}: not supported."
        )
    attends = [int(options["resolution"]) >> level in options["attn_resolutions"] for level in range(levels)]
    return {
        "in_channels": options["in_channels"],
        "out_channels": options["out_ch"],
        "latent_channels": options["z_channels"],
        "block_out_channels": widths,
        "layers_per_block": options["num_res_blocks"],
        "down_block_types": tuple(
            "AttnDownEncoderBlock2D" if yes else "DownEncoderBlock2D" for yes in attends
        ),
        "up_block_types": tuple(
            "AttnUpDecoderBlock2D" if yes else "UpDecoderBlock2D" for yes in attends[::-1]
        ),
        "sample_size": options["resolution"],
        "scaling_factor": scale,
        "norm_num_groups": _GROUPS,
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
