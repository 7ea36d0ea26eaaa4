# SPDX-License-Identifier: GPL-3.0-or-later
"""Random backgrounds behind renders with alpha, as distillation puts them behind its own renders."""

import torch
from torch import Tensor


def random_colours(
    count: int, device: torch.device | str, generator: torch.Generator | None = None
) -> Tensor:
    """Background colours (count, 3) in 0..1: half any colour, a quarter grey, the rest black or white.

    No host synchronisation, so it may be captured in a CUDA graph.
    """
    draws = torch.rand(count, 5, device=device, generator=generator)
    kind, grey, colour = draws[:, :1], draws[:, 1:2], draws[:, 2:]
    extreme = (grey > 0.5).to(draws.dtype)
    plain = torch.where(kind < 0.75, grey, extreme).expand(-1, 3)
    return torch.where(kind < 0.5, colour, plain)


def composite(rgba: Tensor, colours: Tensor) -> Tensor:
    """Puts solid colours behind images.

    rgba: (N, H, W, 4) uint8, straight alpha; colours: (N, 3) in 0..1. Returns (N, H, W, 3) in 0..1.
    """
    values = rgba.to(colours.dtype) / 255
    alpha = values[..., 3:]
    return values[..., :3] * alpha + colours[:, None, None] * (1 - alpha)
