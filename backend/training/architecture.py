# SPDX-License-Identifier: GPL-3.0-or-later
"""The small model: stock diffusers parts, sized so that UNet, autoencoder and text encoder fit in 16 MB."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from backend.diffusion.tokenizer import WordTokenizer
from backend.errors import UserError

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    from backend.diffusion.text import TextEncoder

TOKENS = 24
_WORD = re.compile(r"[^\W_]+(?:[-'][^\W_]+)*")


@dataclass(frozen=True)
class AutoencoderShape:
    """An autoencoder. Each level but the last halves the image; GroupNorm has `groups` groups."""

    image_size: int
    channels: tuple[int, ...]
    latent_channels: int
    groups: int = 8


@dataclass(frozen=True)
class DenoiserShape:
    """UNet and text encoder. Levels but the last halve the latents and have cross-attention."""

    channels: tuple[int, ...] = (64, 96, 160)
    layers: int = 1
    context: int = 128
    head_width: int = 32
    groups: int = 16
    text_layers: int = 2


# Both give 16 x 16 latents, so the UNet costs the same. The full-resolution layers of the larger one are
# narrow: score distillation differentiates the encoder at every step, and a CPU pays for just those.
AUTOENCODERS = {
    64: AutoencoderShape(64, (32, 64, 64), latent_channels=4),
    128: AutoencoderShape(128, (16, 48, 64, 64), latent_channels=8),
}
SMALL = DenoiserShape()


def autoencoder_shape(image_size: int) -> AutoencoderShape:
    """The shape for an image size. Raises UserError for a size the small model does not come in."""
    if image_size not in AUTOENCODERS:
        sizes = " or ".join(map(str, AUTOENCODERS))
        raise UserError(
            f"The small model has no autoencoder for {image_size} pixels. Use --image-size {sizes}."
        )
    return AUTOENCODERS[image_size]


def varied_shape(
    image_size: int, channels: Sequence[int] | None, latent_channels: int | None
) -> AutoencoderShape:
    """The usual shape with other channels. Raises UserError for numbers that GroupNorm cannot divide."""
    usual = autoencoder_shape(image_size)
    chosen = tuple(channels or usual.channels)
    if any(number < 1 or number % usual.groups for number in chosen):
        raise UserError(f"--channels must be multiples of {usual.groups}, not {' '.join(map(str, chosen))}.")
    if latent_channels is not None and latent_channels < 1:
        raise UserError(f"--latent-channels must be at least 1, not {latent_channels}.")
    return replace(usual, channels=chosen, latent_channels=latent_channels or usual.latent_channels)


def build_autoencoder(shape: AutoencoderShape) -> AutoencoderKL:
    """A fresh autoencoder with random weights."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    levels = len(shape.channels)
    return AutoencoderKL(
        sample_size=shape.image_size,
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=shape.channels,
        layers_per_block=1,
        latent_channels=shape.latent_channels,
        norm_num_groups=shape.groups,
        scaling_factor=1.0,
    )


def build_tiny_encoder(vae: AutoencoderKL, channels: int) -> AutoencoderTiny:
    """A fresh small encoder for the latents of `vae`, all its layers `channels` wide.

    At the images' own size, where most of the work would be, there is one convolution and no more.
    """
    from backend.diffusion.tiny_encoder import make_tiny_encoder

    config: Any = vae.config
    levels = len(config.block_out_channels)
    blocks = (0, 1, *(2,) * (levels - 2))[:levels]
    return make_tiny_encoder(
        {
            "encoder_block_out_channels": (channels,) * levels,
            "decoder_block_out_channels": (channels,) * levels,
            "num_encoder_blocks": blocks,
            "num_decoder_blocks": blocks[::-1],
            "latent_channels": config.latent_channels,
        }
    )


def build_unet(shape: DenoiserShape, latent_channels: int, latent_size: int) -> UNet2DConditionModel:
    """A fresh UNet with random weights and a camera input; views are joined by MultiViewDiffusion."""
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    below = len(shape.channels) - 1
    return UNet2DConditionModel(
        sample_size=latent_size,
        in_channels=latent_channels,
        out_channels=latent_channels,
        down_block_types=("CrossAttnDownBlock2D",) * below + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * below,
        block_out_channels=shape.channels,
        layers_per_block=shape.layers,
        cross_attention_dim=shape.context,
        # diffusers calls the number of heads "attention_head_dim" here.
        attention_head_dim=tuple(channels // shape.head_width for channels in shape.channels),
        norm_num_groups=shape.groups,
        use_linear_projection=True,
        class_embed_type="projection",
        projection_class_embeddings_input_dim=16,
    )


def build_text_encoder(shape: DenoiserShape, tokenizer: WordTokenizer) -> TextEncoder:
    """A fresh CLIP text model for the tokenizer's vocabulary, with random weights."""
    from transformers import CLIPTextConfig, CLIPTextModel

    from backend.diffusion.text import TextEncoder

    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.context,
        intermediate_size=4 * shape.context,
        projection_dim=shape.context,
        num_hidden_layers=shape.text_layers,
        num_attention_heads=max(shape.context // shape.head_width, 1),
        max_position_embeddings=tokenizer.length,
        pad_token_id=tokenizer.pad_id,
        bos_token_id=tokenizer.start_id,
        eos_token_id=tokenizer.end_id,
    )
    return TextEncoder(CLIPTextModel(config), tokenizer)


def build_tokenizer(captions: Iterable[str], length: int = TOKENS) -> WordTokenizer:
    """A vocabulary of the captions' words, sorted.

    Raises:
        UserError: a caption has more words than `length` - 2.
    """
    words: set[str] = set()
    for caption in set(captions):
        found = _WORD.findall(caption.lower().replace("’", "'"))
        if len(found) > length - 2:
            raise UserError(
                f"The caption {caption!r} has {len(found)} words; the model reads {length - 2} at most."
            )
        words.update(found)
    return WordTokenizer(sorted(words), length)
