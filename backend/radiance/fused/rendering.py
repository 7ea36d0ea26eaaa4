# SPDX-License-Identifier: GPL-3.0-or-later
"""Rays through a field by the kernels: march, evaluate, composite."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from backend.radiance.field import RadianceField
from backend.radiance.fused.compositing import composite
from backend.radiance.fused.field import evaluate
from backend.radiance.fused.marching import Marched
from backend.radiance.rendered import EARLY_STOP, Rendered

Shade = Callable[[Tensor, Tensor | None, Tensor, Tensor], Tensor]


def render_marched(
    field: RadianceField,
    marched: Marched,
    background: Tensor | None,
    want_normals: bool = False,
    shade: Shade | None = None,
    early_stop: float = EARLY_STOP,
) -> Rendered:
    """What `rendering.render` returns, with analytic normals if any, for samples that were found before.

    Per-sample results are those of all samples found: those a ray does not reach have weight 0.
    """
    seen = evaluate(field, marched, want_normals, early_stop)
    normals = None if seen.gradient is None else F.normalize(-seen.gradient, dim=-1, eps=1e-6)
    colour = seen.colour
    if shade is not None:
        colour = shade(colour, normals, _points(marched), marched.ray)
    rgb, opacity, depth, weights = composite(seen.density, colour, seen.live, marched)
    if background is not None:
        rgb = rgb + (1 - opacity)[:, None] * background
    return Rendered(rgb, opacity, depth, weights, seen.density, marched.ray, seen.live.sum(), normals)


def _points(marched: Marched) -> Tensor:
    origins = marched.origins.index_select(0, marched.ray)
    return origins.addcmul_(marched.t[:, None], marched.directions.index_select(0, marched.ray))
