# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of a textured mesh without light, for previews and for comparing shapes and colours."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.mesh.rasterizer import rasterize
from backend.mesh.tri_mesh import TriMesh


def render_mesh(
    mesh: TriMesh, c2w: Any, fov: Any, height: int, width: int, supersample: int = 1
) -> NDArray[np.float32]:
    """(N, H, W, 4) float32 in 0..1: the texture's sRGB values, white without a texture, and straight alpha.

    Cameras as in `rasterize`. supersample: 2 takes 2 x 2 samples a pixel, for smooth outlines.
    """
    height, width = height * supersample, width * supersample
    seen = rasterize(mesh, c2w, fov, height, width)
    hit = seen.faces >= 0
    image = np.zeros((*hit.shape, 4), dtype=np.float32)
    image[hit] = 1.0
    if mesh.texture is not None and mesh.uv is not None:
        uv = np.einsum("nk,nkd->nd", seen.barycentrics[hit], mesh.uv[mesh.faces[seen.faces[hit]]])
        image[hit, :3] = sample_texture(mesh.texture, uv)
    return _average(image, supersample) if supersample > 1 else image


def sample_texture(texture: NDArray[np.uint8], uv: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Bilinear lookup, clamped at the edge: (N, 2) with the origin at the lower left -> (N, 3) in 0..1."""
    height, width = texture.shape[:2]
    x = np.clip(uv[:, 0] * width - 0.5, 0, width - 1)
    y = np.clip((1 - uv[:, 1]) * height - 0.5, 0, height - 1)
    left, top = x.astype(np.int64), y.astype(np.int64)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    across, down = (x - left)[:, None], (y - top)[:, None]
    upper = texture[top, left] * (1 - across) + texture[top, right] * across
    lower = texture[bottom, left] * (1 - across) + texture[bottom, right] * across
    return ((upper * (1 - down) + lower * down) / 255).astype(np.float32)


def _average(image: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Means of factor x factor samples, colours weighted by alpha so that the background stays out."""
    count, height, width, _ = image.shape
    blocks = image.reshape(count, height // factor, factor, width // factor, factor, 4)
    alpha = blocks[..., 3:]
    covered = alpha.sum(axis=(2, 4))
    colour = (blocks[..., :3] * alpha).sum(axis=(2, 4)) / np.maximum(covered, 1e-6)
    return np.concatenate([colour, covered / factor**2], axis=-1)
