# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a picture is the object, where the background is one flat colour."""

from __future__ import annotations

import torch
from torch import Tensor

CLEAR, SOLID = 0.12, 0.36
"""Distances from the background's colour (RGB, each 0..1) below which a pixel is all background and above
which it is all object: sampled backgrounds are not quite flat."""


def border_colours(images: Tensor) -> Tensor:
    """Median colour (V, 3) of the outermost pixels of images (V, H, W, 3)."""
    rows = images[:, (0, -1)].flatten(1, 2)
    columns = images[:, 1:-1, (0, -1)].flatten(1, 2)
    return torch.cat((rows, columns), 1).median(dim=1).values


def cut_out(images: Tensor) -> tuple[Tensor, Tensor]:
    """Colours (V, H, W, 3) and alpha (V, H, W), both in 0..1, of the objects in images (V, H, W, 3).

    An image is alpha colour + (1 - alpha) background; where alpha is small the colour means little.
    """
    background = border_colours(images)[:, None, None]
    distance = (images - background).norm(dim=-1)
    alpha = ((distance - CLEAR) / (SOLID - CLEAR)).clamp(0, 1)
    solid = alpha.clamp_min(0.2)[..., None]
    colours = (images - (1 - solid) * background) / solid
    return colours.clamp(0, 1), alpha
