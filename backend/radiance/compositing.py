# SPDX-License-Identifier: GPL-3.0-or-later
"""The volume rendering integral, cut into samples (Max 1995; NeRF, equation 3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def transmittance(optical_depth: Tensor) -> Tensor:
    """Light that reaches each sample, T_i = exp(-sum_{j<i} optical_depth_j), (R,S) in 0..1.

    optical_depth (R,S): density times length of each sample, front to back, 0 where there is no sample.
    """
    before = F.pad(optical_depth.cumsum(-1)[..., :-1], (1, 0))
    return torch.exp(-before)


def volume_weights(density: Tensor, length: Tensor | float) -> Tensor:
    """Part of the light each sample adds to its ray, w_i = T_i (1 - exp(-density_i length_i)), (R,S) in 0..1.

    density (R,S) per world unit and length in world units, one number or (R,S); samples lie front to back and
    may have gaps between them. The sum of a ray's weights is its opacity.
    """
    optical_depth = density * length
    return transmittance(optical_depth) * -torch.expm1(-optical_depth)
