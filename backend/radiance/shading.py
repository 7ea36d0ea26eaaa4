# SPDX-License-Identifier: GPL-3.0-or-later
"""Light on the object while it is shaped: flaws that colours would hide show up in shadow.

DreamFusion (Poole et al. 2022), section 3.1; MVDream's shaded configuration with its soft shading.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Look = Literal["albedo", "textureless", "lit"]
Normals = Literal["none", "analytic", "finite"]

LIGHT_DISTANCE = (0.8, 1.5)
LIGHT_SPREAD = 1.0


@dataclass(frozen=True)
class Light:
    """How one step sees the object.

    look: "albedo" (colours alone), "textureless" (white under the light) or "lit". position (V, 3): of a
    point light for each view, world units, None without one. diffuse: its share of the light, 0..1; the rest
    is ambient.
    """

    look: Look = "albedo"
    position: Tensor | None = None
    diffuse: float = 0.0

    def shade(self, colour: Tensor, normals: Tensor | None, points: Tensor, view: Tensor) -> Tensor:
        """Colours (N, 3) as they are seen.

        colour: (N, 3) in 0..1; normals: (N, 3) unit, needed under a light; points: (N, 3) world; view: (N,)
        index of each sample's view.
        """
        if self.look == "albedo":
            return colour
        if normals is None or self.position is None:
            raise ValueError("a light needs a position, and normals to fall on")
        towards = F.normalize(self.position.index_select(0, view) - points, dim=-1)
        lambert = (normals * towards).sum(-1, keepdim=True).clamp_min(0)
        light = self.diffuse * lambert + (1 - self.diffuse)
        # Times 0 and not left out: Adam's moments of the colour network fade in these steps, as published.
        return light + 0 * colour if self.look == "textureless" else colour * light


def draw_light(
    c2w: Tensor,
    views: int,
    lit: float,
    textureless: float,
    dice: random.Random,
    generator: torch.Generator | None = None,
) -> Light:
    """A step's light: with probability `lit` one near the cameras, else none.

    The views of an object share the light's random offset; each carries it along with its own camera.
    c2w: (V, 4, 4), the `views` of an object neighbours; textureless: how often a lit object is white.
    dice: decides on the CPU, so that nothing waits for the device; generator: on the device of c2w.
    """
    if dice.random() >= lit:
        return Light()
    look: Look = "textureless" if dice.random() < textureless else "lit"
    cameras = c2w[:, :3, 3]
    objects = c2w.shape[0] // views
    offset = torch.randn(objects, 3, generator=generator, device=c2w.device).repeat_interleave(views, 0)
    distance = torch.rand(objects, 1, generator=generator, device=c2w.device).repeat_interleave(views, 0)
    low, high = LIGHT_DISTANCE
    position = F.normalize(cameras + LIGHT_SPREAD * offset, dim=-1) * (low + (high - low) * distance)
    return Light(look, position, dice.random())
