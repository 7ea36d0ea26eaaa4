# SPDX-License-Identifier: GPL-3.0-or-later
"""What a model folder tells about its memory without loading it. Standard library only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from backend.errors import UserError

_HEADER_LENGTH = 8
_LARGEST_HEADER = 100 * 2**20
_WEIGHTS = {
    "unet": "unet/diffusion_pytorch_model.safetensors",
    "vae_encoder": "vae/diffusion_pytorch_model.safetensors",
    "text": "text_encoder/model.safetensors",
}
_DECODER = ("decoder.", "post_quant_conv.")


@dataclass(frozen=True)
class ModelFacts:
    """Sizes of a model's parts.

    Args:
        image_size: side of its images in pixels.
        latent_size: side of its latents.
        parameters: numbers in "unet", "vae_encoder" (the image encoder alone) and "text".
        encoder_elements: numbers that the image encoder keeps for the backward pass, per pixel of an image.
        unet_elements: numbers alive at once in the UNet without gradients, per pixel of a latent.
    """

    image_size: int
    latent_size: int
    parameters: Mapping[str, int]
    encoder_elements: float
    unet_elements: float


def read_facts(folder: Path, image_size: int) -> ModelFacts:
    """The facts of the model in `folder`, from its config files and the headers of its weights.

    Raises UserError naming a file that is missing or broken.
    """
    unet, vae = _config(folder / "unet"), _config(folder / "vae")
    try:
        widths = list(vae["block_out_channels"])
        layers = int(vae.get("layers_per_block", 1))
        unet_widths = list(unet["block_out_channels"])
        depths = unet.get("layers_per_block", 2)
        depths = [depths] * len(unet_widths) if isinstance(depths, int) else list(depths)
        encoder, live = encoder_elements(widths, layers), unet_elements(unet_widths, depths)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"A config.json of the model in {folder} is broken: {error!r}.") from error
    parameters = {
        "unet": count_parameters(folder / _WEIGHTS["unet"]),
        "vae_encoder": count_parameters(folder / _WEIGHTS["vae_encoder"], leave_out=_DECODER),
        "text": count_parameters(folder / _WEIGHTS["text"]),
    }
    return ModelFacts(image_size, image_size >> (len(widths) - 1), parameters, encoder, live)


def count_parameters(path: Path, leave_out: tuple[str, ...] = ()) -> int:
    """Numbers in a safetensors file, from its header: 8 bytes of length, then JSON.

    leave_out: beginnings of keys that do not count. Raises UserError when the file is missing or broken.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(_HEADER_LENGTH), "little")
            if length > _LARGEST_HEADER:
                raise ValueError("its header is too long")
            header = json.loads(file.read(length))
        return sum(
            prod(entry["shape"])
            for key, entry in header.items()
            if key != "__metadata__" and not (leave_out and key.startswith(leave_out))
        )
    except FileNotFoundError:
        raise UserError(f"The model is incomplete: {path} is missing.") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"The model file {path} is broken: {error}.") from error


def encoder_elements(widths: Sequence[int], layers: int) -> float:
    """Numbers that diffusers' image encoder keeps for the backward pass, per pixel.

    A residual block keeps what goes into its two normalisations, SiLUs and convolutions: 3 times its input's
    and 3 times its output's channels. Each level ends with a convolution that halves the sides; the middle is
    two blocks around an attention that keeps 6 tensors; then normalisation, SiLU and convolution once more.

    Measured with saved_tensors_hooks: 423 for the small model, where this gives 423, and 3038 in float32 for
    the published one, where this gives 3035 (benchmarks/memory_use.py).
    """
    total, before = 3.0, widths[0]
    for level, width in enumerate(widths):
        here = 0
        for _ in range(layers):
            here += 3 * before + 3 * width
            before = width
        if level < len(widths) - 1:
            here += width
        total += here / 4**level
    middle = 2 * 6 * widths[-1] + 6 * widths[-1] + 3 * widths[-1]
    return total + middle / 4 ** (len(widths) - 1)


UNET_WIDTH_FACTOR = 22.5
"""Tensors of the first level's width alive beside the skip connections at the UNet's peak.

Measured on an H100: 22.3 for the small model, 21.3 (float32) to 22.5 (bfloat16, batch 8) for the published.
"""


def unet_elements(widths: Sequence[int], depths: Sequence[int]) -> float:
    """Numbers alive at once in the UNet without gradients, per pixel of a latent: skips and widest block."""
    skips = float(widths[0])
    for level, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        skips += depth * width / 4**level
        if level < len(widths) - 1:
            skips += width / 4 ** (level + 1)
    return skips + UNET_WIDTH_FACTOR * widths[0]


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"The model is incomplete: {path} is missing.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"The model file {path} is broken: {error}.") from error
    if not isinstance(config, dict):
        raise UserError(f"The model file {path} is broken: it holds no settings.")
    return config
