# SPDX-License-Identifier: GPL-3.0-or-later
"""Pixels from packed samples (Max 1995; NeRF, equation 3)."""

from __future__ import annotations

from typing import Any

import torch
import triton
from torch import Tensor

from backend.radiance.fused import compositing_kernels as kernels
from backend.radiance.fused.marching import Marched

_BLOCK, _ALONG, _WARPS = 8, 32, 2


def composite(density: Tensor, colour: Tensor, live: Tensor, marched: Marched) -> tuple[Tensor, ...]:
    """rgb (R,3) without a background, opacity (R,), depth (R,) (no gradients), weights (N,).

    density (N,) per world unit and colour (N,3) of the samples; live (R,): how many of each ray count.
    """
    return _Composite.apply(density.contiguous(), colour.contiguous(), live, marched)


class _Composite(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, density: Tensor, colour: Tensor, live: Tensor, marched: Marched
    ) -> tuple[Tensor, ...]:
        rays = live.shape[0]
        rgb = torch.zeros(rays, 3, device=density.device)
        opacity, depth = (torch.zeros(rays, device=density.device) for _ in range(2))
        weights = torch.zeros_like(density)
        if density.shape[0]:
            kernels.composite_forward[(triton.cdiv(rays, _BLOCK),)](
                density, colour, marched.t, marched.first, live, rgb, opacity, depth, weights,
                rays, marched.length, block=_BLOCK, along=_ALONG, num_warps=_WARPS,
            )  # fmt: skip
        ctx.save_for_backward(density, colour, live)
        ctx.marched = marched
        ctx.mark_non_differentiable(depth)
        ctx.set_materialize_grads(False)
        return rgb, opacity, depth, weights

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        density, colour, live = ctx.saved_tensors
        rays = live.shape[0]
        d_rgb, d_opacity, _, d_weights = gradients
        d_rgb = torch.zeros(rays, 3, device=density.device) if d_rgb is None else d_rgb.contiguous()
        d_opacity = torch.zeros(rays, device=density.device) if d_opacity is None else d_opacity.contiguous()
        d_density, d_colour = torch.zeros_like(density), torch.zeros_like(colour)
        if density.shape[0]:
            kernels.composite_backward[(triton.cdiv(rays, _BLOCK),)](
                density, colour, ctx.marched.first, live, d_rgb, d_opacity,
                density if d_weights is None else d_weights.contiguous(), d_density, d_colour,
                rays, ctx.marched.length, extra=d_weights is not None, block=_BLOCK, along=_ALONG,
                num_warps=_WARPS,
            )  # fmt: skip
        return d_density, d_colour, None, None
