# SPDX-License-Identifier: GPL-3.0-or-later
"""What a model folder tells about its memory without loading it. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from backend.diffusion.inspection import REMEDY, read_header, read_json
from backend.diffusion.places import DECODER, part_folder, weights_file
from backend.errors import UserError


@dataclass(frozen=True)
class ModelFacts:
    """Sizes of a model's parts.

    Args:
        image_size: side of its images in pixels.
        latent_size: side of its latents.
        parameters: numbers in "unet", "vae_encoder" and "vae_decoder" (the halves of the autoencoder), and
            "text": 0 for a model that reads no prompts.
        encoder_elements: numbers that the image encoder keeps for the backward pass, per pixel of an image.
        unet_elements: numbers alive at once in the UNet without gradients, per pixel of a latent.
        decoder_elements: the same in the image decoder, per pixel of an image.
    """

    image_size: int
    latent_size: int
    parameters: Mapping[str, int]
    encoder_elements: float
    unet_elements: float
    decoder_elements: float


def read_facts(folder: Path, image_size: int) -> ModelFacts:
    """The facts of the model in `folder`, from its config files and the headers of its weights.

    Raises UserError naming a file that is missing or broken.
    """
    unet, vae = read_json(folder / "unet" / "config.json"), read_json(folder / "vae" / "config.json")
    try:
        widths = list(vae["block_out_channels"])
        layers = int(vae.get("layers_per_block", 1))
        unet_widths = list(unet["block_out_channels"])
        depths = unet.get("layers_per_block", 2)
        depths = [depths] * len(unet_widths) if isinstance(depths, int) else list(depths)
        encoder, live = encoder_elements(widths, layers), unet_elements(unet_widths, depths)
        decoder = decoder_elements(widths)
    except (LookupError, TypeError, ValueError) as error:
        raise UserError(
            f"A config.json in unet or vae of the model in {folder} is broken: a setting is missing or none"
            f" that there is. {REMEDY}"
        ) from error
    half = count_parameters(weights_file(folder, "vae"), leave_out=DECODER)
    reads = part_folder(folder, "text").exists()
    parameters = {
        "unet": count_parameters(weights_file(folder, "unet")),
        "vae_encoder": half,
        "vae_decoder": count_parameters(weights_file(folder, "vae")) - half,
        "text": count_parameters(weights_file(folder, "text")) if reads else 0,
    }
    return ModelFacts(image_size, image_size >> (len(widths) - 1), parameters, encoder, live, decoder)


def count_parameters(path: Path, leave_out: tuple[str, ...] = ()) -> int:
    """Numbers in a safetensors file, from its header.

    leave_out: beginnings of keys that do not count. Raises UserError when the file is missing or broken.
    """
    return sum(
        prod(shape)
        for key, (_, shape) in read_header(path).items()
        if not (leave_out and key.startswith(leave_out))
    )


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


def decoder_elements(widths: Sequence[int]) -> float:
    """Numbers alive at once in diffusers' image decoder without gradients, per pixel of an image.

    The most is in the first residual block of a level, which has the width of the level below: its input,
    what the normalisation made of that and what SiLU made of that. The picture's three and a few go along.

    Counted tensor by tensor: 772 for the published model, where this gives 772; 193 for the small one, where
    this gives 196. Resident memory of a CPU grew by 793 when the published one decoded two pictures.
    """
    below = [*widths[1:], widths[-1]]
    return 4.0 + max(3 * width / 4**level for level, width in enumerate(below))
