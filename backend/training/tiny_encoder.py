# SPDX-License-Identifier: GPL-3.0-or-later
"""Distils a model's image encoder into a small one: the same latents for a fraction of the work."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from backend.training.made_images import as_distillation_shows
from backend.training.task import Task, compile_module

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny

    from backend.diffusion.model import MultiViewDiffusion

_VALIDATION_BATCH = 64


@dataclass(frozen=True)
class TinyEncoderOptions:
    """batch: images a step. sets: of views that are drawn to learn from. channels: of all layers."""

    batch: int = 32
    sets: int = 100
    channels: int = 32
    seed: int = 0


class TinyEncoderTask(Task):
    """Squared distance to the mean of the model's own latents, scaled as score distillation sees them.

    Args:
        model: the teacher, with its image encoder; frozen.
        tiny: trained in place; on the model's device.
        images: (N, H, W, 3) uint8 to learn from.
        held: (N, H, W, 3) in 0..1 to validate on.
    """

    def __init__(
        self,
        model: MultiViewDiffusion,
        tiny: AutoencoderTiny,
        images: Tensor,
        held: Tensor,
        options: TinyEncoderOptions,
    ) -> None:
        self.model, self.images, self.held, self.options = model, images, held, options
        self.device = images.device
        self.tiny = tiny.train().requires_grad_(True)
        self.average = copy.deepcopy(tiny).eval()
        self.trained, self.averaged = {"tiny_vae": self.tiny}, {"tiny_vae": self.average}

    def loss(self, variant: str) -> Tensor:
        """Of a random batch of varied images."""
        chosen = torch.randint(len(self.images), (self.options.batch,), device=self.device)
        shown = as_distillation_shows(self.images[chosen])
        with torch.no_grad():
            wanted = self.model.encode_images(shown)
        with self.autocast():
            found = self.tiny.encoder(shown.permute(0, 3, 1, 2) * 2 - 1)
        return (found.float() - wanted).square().mean()

    def compile(self, enabled: bool) -> None:
        """Compiles the small encoder."""
        compile_module(self.tiny.encoder, enabled)

    def validate(self) -> dict[str, float]:
        """See `agreement`, of the averaged weights on the held-back images."""
        self.model.tiny_vae = self.average
        return agreement(self.model, self.held)


@torch.no_grad()
def agreement(model: MultiViewDiffusion, images: Tensor) -> dict[str, float]:
    """How near the latents of a model's two encoders are.

    images: (N, H, W, 3) in 0..1. Returns "explained", the share of the variance of the model's own latents
    (each channel around its mean over all images) that the small encoder gets right, 1 at best; and
    "deviation", the root of the mean squared difference in scaled latents.
    """
    pairs = [
        (model.encode_images(part), model.encode_images_tiny(part))
        for part in images.split(_VALIDATION_BATCH)
    ]
    own, small = (torch.cat(each) for each in zip(*pairs, strict=True))
    squared = (small - own).square().mean()
    variance = (own - own.mean(dim=(0, 2, 3), keepdim=True)).square().mean()
    return {"explained": float(1 - squared / variance), "deviation": float(squared.sqrt())}
