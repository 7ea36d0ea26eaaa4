# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture that shows how an object is coming along."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from PIL import Image

from backend.cameras import distance_for, orbit_views
from backend.radiance.backgrounds import FixedBackground
from backend.radiance.field import RadianceField
from backend.radiance.images import render_images
from backend.radiance.occupancy import OccupancyGrid

SIZE, PASSING_SIZE = 192, 128
"""Pixels. On a processor the larger one takes as long as six steps of the shipped model: only the last
preview, which stays, is that large there."""
GRAY = 0.22  # of Blender's panels
FOV = 40.0


def write_preview(field: RadianceField, occupancy: OccupancyGrid, path: Path, last: bool = True) -> None:
    """Renders the field from its front right and writes a PNG (beside, then renamed).

    last: whether no other will take its place.
    """
    device = occupancy.density.device
    size = SIZE if last or device.type != "cpu" else PASSING_SIZE
    distance = distance_for(FOV, 0.95 * field.bound / 0.8)
    views = orbit_views(1, elevation=18.0, distance=distance, fov=FOV, start=30.0, device=device)
    background = FixedBackground((GRAY,) * 3).to(device)
    images, _ = render_images(field, occupancy, views.c2w, views.fov, size, background)
    pixels = (images[0] * 255).round().to(torch.uint8).cpu().numpy()
    scratch = path.with_name(path.name + ".part")
    Image.fromarray(pixels).save(scratch, format="PNG")
    os.replace(scratch, path)
