# SPDX-License-Identifier: GPL-3.0-or-later
"""Which config.json files the lean networks can follow: every word of it, or stock networks are needed."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from backend.diffusion.attention import CAMERA_NUMBERS

# What must be so, which is what diffusers and transformers take where a file says nothing.
_UNET: dict[str, Any] = {
    "center_input_sample": False,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "only_cross_attention": False,
    "downsample_padding": 1,
    "mid_block_scale_factor": 1,
    "dropout": 0.0,
    "act_fn": "silu",
    "transformer_layers_per_block": 1,
    "reverse_transformer_layers_per_block": None,
    "encoder_hid_dim": None,
    "encoder_hid_dim_type": None,
    "num_attention_heads": None,
    "dual_cross_attention": False,
    "addition_embed_type": None,
    "addition_time_embed_dim": None,
    "num_class_embeds": None,
    "resnet_time_scale_shift": "default",
    "resnet_skip_time_act": False,
    "resnet_out_scale_factor": 1.0,
    "time_embedding_type": "positional",
    "time_embedding_dim": None,
    "time_embedding_act_fn": None,
    "timestep_post_act": None,
    "time_cond_proj_dim": None,
    "conv_in_kernel": 3,
    "conv_out_kernel": 3,
    "attention_type": "default",
    "class_embeddings_concat": False,
    "mid_block_only_cross_attention": None,
    "cross_attention_norm": None,
}
_VAE: dict[str, Any] = {
    "act_fn": "silu",
    "shift_factor": None,
    "latents_mean": None,
    "latents_std": None,
    "use_quant_conv": True,
    "use_post_quant_conv": True,
    "mid_block_add_attention": True,
}
_TEXT: dict[str, Any] = {
    "chunk_size_feed_forward": 0,
    "is_encoder_decoder": False,
    "attention_dropout": 0.0,
}

_TINY: dict[str, Any] = {"act_fn": "relu", "shift_factor": 0.0}

# What the networks are made by: none of it may be missing.
_UNET_READ = (
    *("in_channels", "out_channels", "block_out_channels", "down_block_types", "up_block_types"),
    *("layers_per_block", "norm_num_groups", "norm_eps", "cross_attention_dim", "attention_head_dim"),
    *("use_linear_projection", "class_embed_type", "projection_class_embeddings_input_dim"),
)
_VAE_READ = (
    *("in_channels", "out_channels", "block_out_channels", "down_block_types", "up_block_types"),
    *("layers_per_block", "norm_num_groups", "latent_channels", "scaling_factor"),
)
_TEXT_READ = (
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
    *("max_position_embeddings", "hidden_act", "layer_norm_eps"),
)
_TINY_READ = (
    *("in_channels", "latent_channels", "encoder_block_out_channels", "num_encoder_blocks"),
    "scaling_factor",
)

# What changes nothing: how inputs are called, joined attention does not look, or it is about training.
_IGNORED = frozenset(
    [
        *("sample_size", "force_upcast", "upcast_attention", "addition_embed_type_num_heads"),
        *("transformers_version", "architectures", "model_type", "dtype", "torch_dtype", "return_dict"),
        *("output_hidden_states", "output_attentions", "id2label", "label2id", "problem_type"),
        *("projection_dim", "initializer_range", "initializer_factor"),
        *("pad_token_id", "bos_token_id", "eos_token_id"),
    ]
)
# Of its decoder, and of a range that only stored pictures of latents have.
_TINY_IGNORED = frozenset(
    [
        *("out_channels", "decoder_block_out_channels", "num_decoder_blocks", "upsample_fn"),
        *("upsampling_scaling_factor", "latent_magnitude", "latent_shift", "block_out_channels"),
    ]
)


def unet_settings(config: Mapping[str, Any]) -> SimpleNamespace | None:
    """What a UNet's config.json says, or None where it asks for what the lean UNet is not."""
    found = _settings(_with_one_count(config), _UNET, _UNET_READ)
    if found is None or found.class_embed_type != "projection":
        return None
    camera = found.projection_class_embeddings_input_dim == CAMERA_NUMBERS
    plain = isinstance(found.layers_per_block, int) and isinstance(found.cross_attention_dim, int)
    if isinstance(found.attention_head_dim, int):
        found.attention_head_dim = [found.attention_head_dim] * len(found.block_out_channels)
    known = _fit(found, ("DownBlock2D", "CrossAttnDownBlock2D"), ("UpBlock2D", "CrossAttnUpBlock2D"))
    heads = len(found.attention_head_dim) == len(found.block_out_channels)
    return found if camera and plain and known and heads else None


def vae_settings(config: Mapping[str, Any]) -> SimpleNamespace | None:
    """The same of an autoencoder's."""
    found = _settings(config, _VAE, _VAE_READ)
    if found is None or not _fit(found, ("DownEncoderBlock2D",), ("UpDecoderBlock2D",)):
        return None
    return found


def text_settings(config: Mapping[str, Any]) -> SimpleNamespace | None:
    """The same of a text encoder's."""
    found = _settings(config, _TEXT, _TEXT_READ)
    return found if found is not None and found.hidden_act in ("quick_gelu", "gelu") else None


def tiny_settings(config: Mapping[str, Any]) -> SimpleNamespace | None:
    """The same of a small image encoder's."""
    given = {name: value for name, value in config.items() if name not in _TINY_IGNORED}
    found = _settings(given, _TINY, _TINY_READ)
    if found is None:
        return None
    widths, blocks = found.encoder_block_out_channels, found.num_encoder_blocks
    lists = isinstance(widths, list) and isinstance(blocks, list) and len(widths) == len(blocks) > 0
    # A convolution between two widths is nothing that diffusers has either.
    return found if lists and len(set(widths)) == 1 else None


def _settings(
    config: Mapping[str, Any], fixed: Mapping[str, Any], read: tuple[str, ...]
) -> SimpleNamespace | None:
    given = {name: value for name, value in config.items() if name[0] != "_"}
    if any(name not in given for name in read):
        return None
    for name, value in given.items():
        if name in fixed and value != fixed[name]:
            return None
        if name not in fixed and name not in read and name not in _IGNORED:
            return None
    return SimpleNamespace(**given)


def _with_one_count(config: Mapping[str, Any]) -> dict[str, Any]:
    """The same with one number of layers where the file has a list of equal ones, one for each size."""
    found = dict(config)
    for name in ("layers_per_block", "transformer_layers_per_block"):
        counts = config.get(name)
        if isinstance(counts, list) and counts and all(count == counts[0] for count in counts):
            found[name] = counts[0]
    return found


def _fit(found: SimpleNamespace, down: tuple[str, ...], up: tuple[str, ...]) -> bool:
    """Whether there is one block of a known kind for each size, on the way down and on the way up."""
    kinds = found.down_block_types, found.up_block_types
    if not all(isinstance(each, list) for each in (*kinds, found.block_out_channels)):
        return False
    known = all(kind in down for kind in kinds[0]) and all(kind in up for kind in kinds[1])
    return known and len(kinds[0]) == len(kinds[1]) == len(found.block_out_channels)
