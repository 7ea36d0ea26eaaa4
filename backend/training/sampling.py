# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain sampling of four views, to look at what a model has learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from backend.cameras import conditioning, distance_for, orbit_views

if TYPE_CHECKING:
    from PIL.Image import Image

    from backend.diffusion.model import MultiViewDiffusion

VIEWS = 4


@torch.no_grad()
def sample_views(
    model: MultiViewDiffusion,
    prompts: Sequence[str],
    guidance_scale: float = 5.0,
    steps: int = 30,
    seed: int = 0,
    elevation: float = 15.0,
    fov: float = 35.0,
) -> Tensor:
    """Four orthogonal views of each prompt by DDIM (Song et al. 2021, equation 12 with eta = 0).

    elevation and fov in degrees; the first view is the front. A seed draws the same noise on every device.
    Returns (prompts, 4, H, W, 3) in 0..1. Raises UserError for words the model does not know.
    """
    device, schedule = model.device, model.schedule
    camera = conditioning(orbit_views(VIEWS, elevation, distance_for(fov, 0.95), fov, device).c2w)
    count = len(prompts) * VIEWS
    context = model.encode_prompts([*prompts, *[""] * len(prompts)]).repeat_interleave(VIEWS, dim=0)
    cameras = camera.repeat(2 * len(prompts), 1)
    noise = torch.randn(count, *model.latent_shape, generator=torch.Generator().manual_seed(seed))
    latents = noise.to(device)
    times = torch.linspace(len(schedule) - 1, 0, steps).round().long().tolist()
    for time, after in zip(times, [*times[1:], None], strict=True):
        t = torch.full((2 * count,), time, device=device)
        eps, unconditional = model.predict_noise(
            latents.repeat(2, 1, 1, 1), t, context, cameras, VIEWS
        ).chunk(2)
        eps = unconditional + guidance_scale * (eps - unconditional)
        start = schedule.predict_start(latents, eps, t[:count])
        # Where there is no later time the predicted start itself is the sample.
        latents = (
            start if after is None else schedule.add_noise(start, eps, torch.full_like(t[:count], after))
        )
    images = torch.cat([model.decode_latents(part) for part in latents.split(16)]).clamp(0, 1)
    return images.view(len(prompts), VIEWS, *images.shape[1:])


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
