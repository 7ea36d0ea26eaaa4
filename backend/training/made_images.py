# SPDX-License-Identifier: GPL-3.0-or-later
"""Images to distil an encoder on, made without a dataset: what a model draws, and what distillation shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from backend.training.backgrounds import random_colours
from backend.training.sampling import sample_views

if TYPE_CHECKING:
    from backend.diffusion.model import MultiViewDiffusion

_ELEVATIONS = (-5.0, 60.0)
_SAMPLING_STEPS = 10
_COARSE = 8
"""Pixels along the side of the noise that soft shapes are cut out of."""


def sampled_images(model: MultiViewDiffusion, sets: int, seed: int) -> Tensor:
    """Views that the model draws without a prompt: any of its objects, before any background.

    Returns (sets * views, H, W, 3) uint8 on the model's device. The same seed draws the same.
    """
    dice = torch.Generator().manual_seed(seed)
    low, high = _ELEVATIONS
    drawn = []
    for number in range(sets):
        elevation = low + (high - low) * float(torch.rand((), generator=dice))
        # Scale 1 is no guidance: there is nothing to guide to.
        views = sample_views(model, [""], 1.0, _SAMPLING_STEPS, seed * 1_000_003 + number, elevation)
        drawn.append((views[0] * 255).round().byte())
    return torch.cat(drawn)


def as_distillation_shows(images: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Variations of drawn images like what a field in the making looks like, each with chances of its own.

    images: (N, H, W, 3) uint8. Returns (N, H, W, 3) in 0..1: mirrored, with other colours, fading into soft
    shapes or into nothing before a plain background, and half of them rendered at half the size, as the
    recipe of a small model does.
    """
    count, side, device = len(images), images.shape[1], images.device

    def chance(share: float) -> Tensor:
        return torch.rand(count, 1, 1, 1, device=device, generator=generator) < share

    shown = images.permute(0, 3, 1, 2).float() / 255
    shown = torch.where(chance(0.5), shown.flip(3), shown)
    order = torch.rand(count, 3, device=device, generator=generator).argsort(1)[:, :, None, None]
    shown = torch.where(chance(0.5), shown.gather(1, order.expand_as(shown)), shown)
    soft = torch.where(chance(0.5), soft_shapes(count, side, device, generator), shown.flip(0))
    share = torch.rand(count, 1, 1, 1, device=device, generator=generator)
    shown = torch.where(chance(0.4), torch.lerp(shown, soft, share), shown)
    shown = torch.where(chance(0.1), soft, shown)
    shown = torch.where(chance(0.5), _at_half_size(shown), shown)
    return shown.permute(0, 2, 3, 1)


def soft_shapes(
    count: int, side: int, device: torch.device | str, generator: torch.Generator | None = None
) -> Tensor:
    """Blobs of smooth colours, more or less see-through, before plain ones: a field at its first steps.

    Returns (count, 3, side, side) in 0..1.
    """

    def noise(channels: int) -> Tensor:
        coarse = torch.randn(count, channels, _COARSE, _COARSE, device=device, generator=generator)
        return F.interpolate(coarse, (side, side), mode="bicubic", align_corners=False)

    middle = torch.linspace(-1, 1, side, device=device)
    from_centre = (middle[:, None].square() + middle.square()).sqrt()
    size, hardness = torch.rand(2, count, 1, 1, 1, device=device, generator=generator)
    alpha = torch.sigmoid((size + 0.2 * noise(1) - from_centre) * (2 + 30 * hardness))
    colours = torch.sigmoid(1.5 * noise(3))
    plain = random_colours(count, device, generator)[:, :, None, None]
    return torch.lerp(plain.expand_as(colours), colours, alpha.expand_as(colours))


def _at_half_size(images: Tensor) -> Tensor:
    half = F.avg_pool2d(images, 2)
    return F.interpolate(half, images.shape[-2:], mode="bilinear", align_corners=False)
