# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the parts of a model lie in its folder, as diffusers and transformers name them. No torch."""

from __future__ import annotations

from pathlib import Path

# Folder and weights file of each part.
PLACES = {
    "unet": ("unet", "diffusion_pytorch_model.safetensors"),
    "vae": ("vae", "diffusion_pytorch_model.safetensors"),
    "text": ("text_encoder", "model.safetensors"),
    "tiny_vae": ("tiny_vae", "diffusion_pytorch_model.safetensors"),
}
DECODER = ("decoder.", "post_quant_conv.")
"""What the parameters of the autoencoder's second half begin with."""


def part_folder(folder: Path, part: str) -> Path:
    """Where a part ("unet", "vae", "text", "tiny_vae") of the model in `folder` is."""
    return folder / PLACES[part][0]


def weights_file(folder: Path, part: str) -> Path:
    """The weights of a part of the model in `folder`."""
    return folder / PLACES[part][0] / PLACES[part][1]
