# SPDX-License-Identifier: GPL-3.0-or-later
"""The radiance field: density and colour of every point inside a sphere."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.radiance.encodings import Encoding
from backend.radiance.mlp import small_mlp


@dataclass(frozen=True)
class DensityActivation:
    """From the network's output n and the radius |x| to a density:

    sigma = multiplier softplus(sharpness n + blob_scale (1 - |x| / blob_radius))

    The blob starts the object as a soft ball (MVDream, section 4.2: scale 10, radius 0.5).
    multiplier > 1 makes surfaces harder for the same step of the network; sharpness > 1 makes the network's
    output count for more against the blob. blob_scale is in softplus' argument, blob_radius in world units.
    """

    multiplier: float = 1.0
    sharpness: float = 1.0
    blob_scale: float = 10.0
    blob_radius: float = 0.5

    def __call__(self, network_output: Tensor, radius: Tensor) -> Tensor:
        blob = self.blob_scale * (1 - radius / self.blob_radius)
        return self.multiplier * F.softplus(self.sharpness * network_output + blob)


class RadianceField(nn.Module):
    """Density (per world unit) and display-referred sRGB colour in the sphere |x| <= bound.

    An encoding feeds two MLPs with one hidden layer of `hidden` units, one for density and one for colour,
    so that the density can be had without the colour. Outside the sphere the density is 0.
    """

    def __init__(
        self,
        encoding: Encoding,
        bound: float = 1.0,
        hidden: int = 32,
        activation: DensityActivation | None = None,
        generator: torch.Generator | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.encoding = encoding
        self.bound, self.hidden = bound, hidden
        self.activation = activation or DensityActivation()
        self.density_net = small_mlp(encoding.output_dim, hidden, 1, generator, bias=bias)
        self.colour_net = small_mlp(encoding.output_dim, hidden, 3, generator, bias=bias)

    @property
    def fused(self) -> bool:
        """Whether the kernels of `backend.radiance.fused` can evaluate and render this field, where it is."""
        return self.encoding.has_kernels and self._fits_kernels()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Density (N,) >= 0 and rgb (N,3) in 0..1 of world points x (N,3)."""
        if not torch.is_grad_enabled() and self.fused:
            return self._at_points(x, want_colour=True)
        features = self._encode(x)
        return self._activate(features, x), torch.sigmoid(self.colour_net(features))

    def density(self, x: Tensor) -> Tensor:
        """Density (N,) >= 0 of world points x (N,3), without evaluating colour."""
        if not torch.is_grad_enabled() and self.fused:
            return self._at_points(x, want_colour=False)[0]
        return self._activate(self._encode(x), x)

    def colour(self, x: Tensor) -> Tensor:
        """Colour (N,3) in 0..1 of world points x (N,3), without evaluating density."""
        return torch.sigmoid(self.colour_net(self._encode(x)))

    def with_gradient(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Density (N,), colour (N,3) and the density's gradient (N,3) by position, from one encoding of x.

        The gradient can be differentiated by the field's parameters where the encoding's can (a hash grid's).
        It is put together by hand, so that no general second derivative of the encoding is needed.
        """
        with torch.enable_grad():
            place = (x / self.bound + 1) / 2
            features = self.encoding(place)
            radius = _radius(x.detach()).requires_grad_()
            density = self._density(features, radius)
            along_features, along_radius = torch.autograd.grad(
                density.sum(), (features, radius), create_graph=True
            )
            inner = self.encoding.pull_back(place, along_features) / (2 * self.bound)
            gradient = inner + (along_radius / radius)[:, None] * x
            return density, torch.sigmoid(self.colour_net(features)), gradient

    def _fits_kernels(self) -> bool:
        from backend.radiance.fused.field import suits
        from backend.radiance.fused.trial import fused_works

        levels = len(self.encoding.levels)  # type: ignore[arg-type]
        return suits(self) and fused_works(levels, self.hidden)

    def _at_points(self, x: Tensor, want_colour: bool) -> tuple[Tensor, Tensor]:
        from backend.radiance.fused.field import at_points

        return at_points(self, x, want_colour)

    def _encode(self, x: Tensor) -> Tensor:
        return self.encoding((x / self.bound + 1) / 2)

    def _activate(self, features: Tensor, x: Tensor) -> Tensor:
        return self._density(features, _radius(x))

    def _density(self, features: Tensor, radius: Tensor) -> Tensor:
        density = self.activation(self.density_net(features).squeeze(-1), radius)
        return torch.where(radius <= self.bound, density, torch.zeros_like(density))


def _radius(x: Tensor) -> Tensor:
    # The clamp keeps the derivative of the norm finite at the origin.
    return x.square().sum(-1).clamp_min(1e-12).sqrt()
