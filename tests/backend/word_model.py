# SPDX-License-Identifier: GPL-3.0-or-later
"""A tiny random model that knows five words: that jobs with it work, not what comes out."""

from pathlib import Path

import torch

from backend.diffusion import MultiViewDiffusion
from backend.diffusion.config import ModelConfig
from backend.diffusion.storage import save
from backend.training.architecture import (
    AutoencoderShape,
    DenoiserShape,
    build_autoencoder,
    build_text_encoder,
    build_tokenizer,
    build_unet,
)

SIZE = 16


def save_word_model(folder: Path) -> Path:
    """Writes "tiny" into `folder` and returns its own: for pictures of 16 x 16 pixels."""
    torch.manual_seed(5)
    shape = DenoiserShape((16, 32), layers=1, context=16, head_width=8, groups=4, text_layers=1)
    autoencoder = AutoencoderShape(SIZE, (8, 8, 16), latent_channels=2, groups=4)
    text = build_text_encoder(shape, build_tokenizer(["a red mug", "blue box"], 8))
    made = MultiViewDiffusion(
        ModelConfig(name="tiny", image_size=SIZE),
        build_unet(shape, 2, 4),
        build_autoencoder(autoencoder),
        text,
    )
    save(made, folder / "tiny")
    return folder / "tiny"
