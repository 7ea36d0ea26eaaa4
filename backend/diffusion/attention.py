# SPDX-License-Identifier: GPL-3.0-or-later
"""The two things that turn a stock UNet into MVDream's: joined self-attention and the camera embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from diffusers.models.attention_processor import Attention
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    from backend.diffusion.lean.transformer import Attention as LeanAttention

CAMERA_NUMBERS = 16


class JoinedAttention:
    """Attention processor: self-attention runs over the tokens of all views of an object at once.

    MVDream, section 3.1 ("3D self-attention"). Holds no state: `views` travels through diffusers'
    `cross_attention_kwargs`, so one traced or captured graph belongs to one number of views.
    """

    def __call__(
        self,
        attn: Attention | LeanAttention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        views: int = 1,
    ) -> Tensor:
        """hidden_states: (B, L, C), views of an object neighbours; encoder_hidden_states: (B, T, D), or a row
        for as many neighbours each as there are more of them.
        """
        batch, length, _ = hidden_states.shape
        if encoder_hidden_states is None:
            context, groups = hidden_states, batch // views
        else:
            context, groups = encoder_hidden_states, encoder_hidden_states.shape[0]

        def heads(x: Tensor) -> Tensor:
            # Views are neighbours, so (B, L, C) read as (B / views, views L, C) joins them without a copy.
            return x.reshape(groups, -1, attn.heads, x.shape[-1] // attn.heads).transpose(1, 2)

        mixed = F.scaled_dot_product_attention(
            heads(attn.to_q(hidden_states)),
            heads(attn.to_k(context)),
            heads(attn.to_v(context)),
            attn_mask=attention_mask,
        )
        mixed = mixed.transpose(1, 2).reshape(batch, length, -1)
        return attn.to_out[1](attn.to_out[0](mixed))


class CameraEmbedding(nn.Module):
    """The paper's two-layer MLP on the camera, added to the time embedding (section 3.1).

    Wraps the layers of diffusers' own class embedding, so parameters keep their names. A row of zeros (no
    real camera is that) stands for "no camera" and embeds to exactly zero: 2D mode needs no other graph.
    """

    def __init__(self, stock: Any) -> None:
        super().__init__()
        self.linear_1 = stock.linear_1
        self.act = stock.act
        self.linear_2 = stock.linear_2

    def forward(self, camera: Tensor) -> Tensor:
        """camera: (B, 16) -> (B, E)."""
        embedding = self.linear_2(self.act(self.linear_1(camera)))
        present = (camera != 0).any(dim=-1, keepdim=True)
        return torch.where(present, embedding, torch.zeros_like(embedding))


def make_multi_view(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """Give a stock UNet joined attention and the camera embedding, in place. Safe to call twice.

    Raises ValueError for a UNet that has no projection of 16 numbers for the camera.
    """
    if getattr(unet, "multi_view", False):  # a lean one, made so
        return unet
    config: Any = unet.config
    wanted = ("projection", CAMERA_NUMBERS)
    if (config.class_embed_type, config.projection_class_embeddings_input_dim) != wanted:
        raise ValueError("the UNet has no camera input: class_embed_type must be 'projection', of 16 numbers")
    if not isinstance(unet.class_embedding, CameraEmbedding):
        unet.class_embedding = cast(Any, CameraEmbedding(unet.class_embedding))
    unet.set_attn_processor(cast(Any, JoinedAttention()))
    return unet
