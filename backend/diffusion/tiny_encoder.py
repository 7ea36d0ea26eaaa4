# SPDX-License-Identifier: GPL-3.0-or-later
"""The small image encoder that a model may have beside its own: the first half of diffusers' AutoencoderTiny.

It was distilled from the model's (TAESD, madebyollin/taesd, for Stable Diffusion's; see
`backend.training.tiny_encoder` for the shipped model's) and gives scaled latents at once: there is no
distribution to sample from.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from backend.diffusion.lean.settings import tiny_settings
from backend.diffusion.part_modules import build_part
from backend.diffusion.places import part_folder, weights_file
from backend.diffusion.weights import fill_from_file
from backend.errors import UserError

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny

_DECODER = ("decoder.",)


def make_tiny_encoder(config: dict[str, Any], lean: bool = False) -> Any:
    """diffusers' module of these settings without its decoder, which nothing here has a use for.

    lean: the lean one instead, where it knows the settings.
    """
    if lean and (settings := tiny_settings(config)):
        from backend.diffusion.lean.tiny_encoder import TinyEncoder

        return TinyEncoder(settings)
    from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny

    # diffusers writes this one itself and warns when it reads it.
    known = {name: value for name, value in config.items() if name != "block_out_channels"}
    found: Any = AutoencoderTiny.from_config(known)
    found.decoder = None
    return found


def load_tiny_encoder(
    folder: Path, device: torch.device | str, dtype: torch.dtype, lean: bool = False
) -> AutoencoderTiny:
    """The small encoder of the model in `folder`, frozen; the file may hold a decoder too.

    lean: see `make_tiny_encoder`.

    Raises UserError naming a file that is missing or broken.
    """
    try:
        tiny = build_part(part_folder(folder, "tiny_vae"), partial(make_tiny_encoder, lean=lean))
        fill_from_file(tiny, weights_file(folder, "tiny_vae"), device, dtype, _DECODER)
    except UserError as error:
        raise UserError(f"{error} Put it there again, or set tiny_encoder_until to 0.") from error
    nn.Module.eval(tiny).requires_grad_(False)
    return tiny


def require_same_latents(tiny: AutoencoderTiny, vae: Any, folder: Path) -> None:
    """Raises UserError where the latents of the two have other channels or another size."""
    config: Any = tiny.config
    small = config.latent_channels, len(config.encoder_block_out_channels) - 1
    own = vae.config.latent_channels, len(vae.config.block_out_channels) - 1
    if small != own:
        raise UserError(
            f"The small image encoder in {part_folder(folder, 'tiny_vae')} belongs to another model: its"
            f" latents have {small[0]} channels and 1/{2 ** small[1]} of a picture's side, where this model's"
            f" have {own[0]} and 1/{2 ** own[1]}."
        )
