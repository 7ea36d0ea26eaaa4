# SPDX-License-Identifier: GPL-3.0-or-later
"""MVDream (Stable Diffusion 2.1) in full size with random weights: the real one's work without its file."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from backend.diffusion.config import ModelConfig
from backend.diffusion.model import MultiViewDiffusion

CONTEXT = (77, 1024)

UNET: dict[str, Any] = {
    "sample_size": 32,
    "block_out_channels": (320, 640, 1280, 1280),
    "attention_head_dim": (5, 10, 20, 20),
    "cross_attention_dim": CONTEXT[1],
    "use_linear_projection": True,
    "class_embed_type": "projection",
    "projection_class_embeddings_input_dim": 16,
}
VAE: dict[str, Any] = {
    "sample_size": 256,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "latent_channels": 4,
}
UNET_SD15 = {name: value for name, value in UNET.items() if name != "use_linear_projection"} | {
    "attention_head_dim": 8,
    "cross_attention_dim": 768,
}
"""MVDream's other network, from Stable Diffusion 1.5."""
TINY_UNET = UNET | {"block_out_channels": (32, 64, 64, 64), "attention_head_dim": (2, 2, 2, 2)}
TINY_VAE = VAE | {"block_out_channels": (32, 32, 32, 32), "layers_per_block": 1}


def build(device: torch.device, dtype: torch.dtype, tiny: bool = False) -> MultiViewDiffusion:
    """Without text encoder and decoder, as distillation has it. tiny: to rehearse on a CPU."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(**(TINY_UNET if tiny else UNET))
        vae: Any = AutoencoderKL(**(TINY_VAE if tiny else VAE))
    vae.decoder = vae.post_quant_conv = None
    for part in (unet, vae):
        part.to_empty(device=device)
        _fill(part)
        nn.Module.to(part, dtype=dtype)
    return MultiViewDiffusion(ModelConfig(name="full-size", image_size=256), unet, vae).freeze()


def contexts(device: torch.device) -> tuple[Tensor, Tensor]:
    """Two prompts' worth of random numbers, (1, 77, 1024) each."""
    generator = torch.Generator(device).manual_seed(0)
    return tuple(torch.randn(1, *CONTEXT, generator=generator, device=device) for _ in range(2))  # type: ignore[return-value]


@torch.no_grad()
def _fill(part: nn.Module) -> None:
    """Weights of a size that keeps activations finite, and ones and zeros where a norm has them."""
    for module in part.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.normal_(module.weight, std=module.weight[0].numel() ** -0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.GroupNorm | nn.LayerNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
