# SPDX-License-Identifier: GPL-3.0-or-later
"""Sheets of sampled views, to look at what a model has learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from backend.cameras import conditioning, orbit_views
from backend.diffusion.sampler import Sampler, decode, draw_noise

if TYPE_CHECKING:
    from PIL.Image import Image

    from backend.diffusion.model import MultiViewDiffusion


def sample_views(
    model: MultiViewDiffusion,
    prompts: Sequence[str],
    guidance_scale: float = 5.0,
    steps: int = 20,
    seed: int = 0,
    elevation: float = 15.0,
) -> Tensor:
    """Orthogonal views of each prompt, the first one the front.

    elevation in degrees. A seed draws the same noise on every device.
    Returns (prompts, views, H, W, 3) in 0..1. Raises UserError for words the model does not know.
    """
    views = model.config.views
    # The model sees the camera's direction only, so distance and field of view are any.
    cameras = conditioning(orbit_views(views, elevation, 1.0, 40.0, model.device).c2w)
    context = model.encode_prompts(prompts).repeat_interleave(views, dim=0)
    negative = model.encode_prompts([""]).expand(len(context), -1, -1)
    noise = draw_noise(model, seed, len(prompts))
    latents = Sampler(steps, guidance_scale)(model, noise, context, negative, cameras.repeat(len(prompts), 1))
    images = decode(model, latents)
    return images.view(len(prompts), views, *images.shape[1:])


def contact_sheet(images: Tensor, prompts: Sequence[str], scale: int = 1) -> Image:
    """One row a prompt, its words above its views. images: (prompts, views, H, W, 3) in 0..1."""
    from PIL import Image, ImageDraw

    rows, views, height, width, _ = images.shape
    title = 16
    sheet = Image.new("RGB", (views * width * scale, rows * (height * scale + title)), "white")
    draw = ImageDraw.Draw(sheet)
    pixels = (images * 255).round().byte().cpu().numpy()
    for row, prompt in enumerate(prompts):
        top = row * (height * scale + title)
        draw.text((4, top + 2), prompt, fill="black")
        for view in range(views):
            tile = Image.fromarray(pixels[row, view]).resize((width * scale, height * scale))
            sheet.paste(tile, (view * width * scale, top + title))
    return sheet
