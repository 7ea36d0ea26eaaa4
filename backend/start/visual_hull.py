# SPDX-License-Identifier: GPL-3.0-or-later
"""The largest object that has given silhouettes (Laurentini 1994)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def project(points: Tensor, c2w: Tensor, fov: Tensor) -> Tensor:
    """Where points (N, 3) are in the pictures of cameras c2w (V, 4, 4), fov (V,) vertical degrees: (V, N, 2).

    x to the right and y downwards, both -1..1 from edge to edge of a square picture.
    """
    local = torch.einsum("vnk,vkj->vnj", points - c2w[:, None, :3, 3], c2w[:, :3, :3])
    reach = -local[..., 2:] * torch.tan(torch.deg2rad(fov) / 2)[:, None, None]
    return local[..., :2] * local.new_tensor((1.0, -1.0)) / reach


def inside_hull(points: Tensor, alpha: Tensor, c2w: Tensor, fov: Tensor, level: float = 0.5) -> Tensor:
    """Whether points (N, 3) are seen at alpha (V, H, W) above `level` in each of the pictures: bool (N,)."""
    places = project(points, c2w, fov)[:, :, None]
    seen = F.grid_sample(alpha[:, None], places, align_corners=False)[:, 0, :, 0]
    return (seen > level).all(0)
