# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole images of a field, for previews and for looking at results."""

from __future__ import annotations

import torch
from torch import Tensor

from backend.cameras import rays
from backend.radiance.backgrounds import Background
from backend.radiance.field import RadianceField
from backend.radiance.occupancy import OccupancyGrid
from backend.radiance.rendering import render

_CHUNK, _CHUNK_OF_CPU = 1 << 16, 1 << 13
"""Rays in one go. On a processor few, whose numbers stay in its caches: 192 x 192 take 0.44 to 0.46 s so on
one thread, and 0.49 to 0.76 s all at once."""


@torch.no_grad()
def render_images(
    field: RadianceField,
    occupancy: OccupancyGrid | None,
    c2w: Tensor,
    fov: Tensor | float,
    size: int,
    background: Background | None = None,
    samples: int = 96,
    chunk: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Images (V,size,size,3) and opacities (V,size,size), both in 0..1 and without gradients.

    c2w (V,4,4); fov vertical in degrees, one number or (V,). Without a background the colours are
    multiplied by opacity. chunk: rays in one go, which bounds the memory; None: what the device is
    quickest with. Nothing is random here: put a random background into eval mode first.
    """
    origins, directions = rays(c2w, fov, size, size)
    behind = background(directions).reshape(-1, 3) if background is not None else None
    flat_origins, flat_directions = origins.reshape(-1, 3), directions.reshape(-1, 3)
    colours, opacities = [], []
    chunk = chunk or (_CHUNK_OF_CPU if flat_origins.device.type == "cpu" else _CHUNK)
    for start in range(0, flat_origins.shape[0], chunk):
        part = slice(start, start + chunk)
        result = render(
            field,
            occupancy,
            flat_origins[part],
            flat_directions[part],
            behind[part] if behind is not None else None,
            samples,
        )
        colours.append(result.rgb)
        opacities.append(result.opacity)
    shape = directions.shape[:3]
    return torch.cat(colours).view(*shape, 3).clamp(0, 1), torch.cat(opacities).view(shape)
