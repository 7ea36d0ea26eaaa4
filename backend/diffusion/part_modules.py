# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks of a model as modules without memory for weights, and their config.json."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from backend.diffusion.inspection import read_json
from backend.diffusion.lean.settings import text_settings, unet_settings, vae_settings
from backend.errors import UserError

# Releases of transformers disagree on this prefix inside the module; on disk it has always been there.
TEXT_MODEL = "text_model."

log = logging.getLogger(__name__)


def unet_module(config: Mapping[str, Any], lean: bool = False) -> Any:
    """diffusers' UNet, or the lean one where it is asked for and knows these settings."""
    if lean and (settings := unet_settings(config)):
        from backend.diffusion.lean.unet import UNet

        return UNet(settings)
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    return UNet2DConditionModel.from_config(config)


def vae_module(config: Mapping[str, Any], lean: bool = False) -> Any:
    """diffusers' AutoencoderKL, or the lean one where it is asked for and knows these settings."""
    if lean and (settings := vae_settings(config)):
        from backend.diffusion.lean.autoencoder import Autoencoder

        return Autoencoder(settings)
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    return AutoencoderKL.from_config(config)


def text_module(config: Mapping[str, Any], lean: bool = False) -> Any:
    """transformers' CLIPTextModel on the meta device, or the lean one, as above."""
    if lean and (settings := text_settings(config)):
        from backend.diffusion.lean.text_model import TextModel

        with torch.device("meta"):
            return TextModel(settings)
    from transformers.models.clip.configuration_clip import CLIPTextConfig
    from transformers.models.clip.modeling_clip import CLIPTextModel

    with torch.device("meta"):
        return CLIPTextModel(CLIPTextConfig(**config))


def build_part(folder: Path, make: Callable[[dict[str, Any]], nn.Module]) -> Any:
    """A module without memory for its weights, from the config.json in `folder`.

    Raises UserError naming the file where it is missing, broken or describes nothing that `make` can make.
    """
    path = folder / "config.json"
    config = read_json(path)
    try:
        with torch.device("meta"):
            return make(config)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, ZeroDivisionError) as error:
        log.debug("%s: %r", path, error)
        raise UserError(f"The model file {path} is broken: its settings describe no network.") from error


def place_positions(module: nn.Module, device: torch.device | str) -> None:
    """Make the table of positions of a text model that was built on the meta device: it is never stored."""
    for part in module.modules():
        if hasattr(part, "position_ids"):
            count = part.position_embedding.num_embeddings  # type: ignore[union-attr]
            part.position_ids = torch.arange(count, device=device)[None]  # type: ignore[arg-type]


def text_config(module: Any) -> dict[str, Any]:
    """The config.json of a text model."""
    return module.config.to_dict()


def diffusers_config(module: Any) -> dict[str, Any]:
    """The config.json of a diffusers module."""
    return {"_class_name": type(module).__name__, **{k: v for k, v in module.config.items() if k[0] != "_"}}


def stored_name(part: str, name: str) -> str:
    """What a parameter of a part is called in its file."""
    return TEXT_MODEL + name.removeprefix(TEXT_MODEL) if part == "text" else name
