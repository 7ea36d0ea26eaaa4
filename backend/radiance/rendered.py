# SPDX-License-Identifier: GPL-3.0-or-later
"""What rays saw, whoever rendered them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

EARLY_STOP = 1e-4
"""Samples reached by less light than this count as hidden."""


@dataclass(frozen=True)
class Rendered:
    """What R rays saw.

    rgb (R,3), with the background if one was given; opacity (R,) in 0..1; depth (R,) = sum of weight times
    distance (divide by the opacity for a mean). Per kept sample, for losses: weights (N,), density (N,),
    ray (N,) index into the rays, normals (N,3) if there are any. samples: how many of these were evaluated,
    a scalar on the rays' device (the others have weight 0).
    """

    rgb: Tensor
    opacity: Tensor
    depth: Tensor
    weights: Tensor
    density: Tensor
    ray: Tensor
    samples: Tensor
    normals: Tensor | None = None
