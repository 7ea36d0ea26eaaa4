# SPDX-License-Identifier: GPL-3.0-or-later
"""Surface normals: the direction in which the density falls fastest."""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

from backend.radiance.field import RadianceField

# Four corners of a cube that span a tetrahedron: sum of k_i sigma(x + e k_i) = 4 e grad sigma + O(e²),
# a gradient from four evaluations.
_TETRAHEDRON = ((1.0, -1.0, -1.0), (-1.0, -1.0, 1.0), (-1.0, 1.0, -1.0), (1.0, 1.0, 1.0))


@functools.cache
def _corners(device: torch.device, dtype: torch.dtype) -> Tensor:
    # Kept: making it anew would copy to a GPU, and wait for it, at each call.
    return torch.tensor(_TETRAHEDRON, device=device, dtype=dtype)


def finite_difference_normals(field: RadianceField, x: Tensor, epsilon: float) -> Tensor:
    """Unit normals (N,3) at world points x (N,3), from four densities around each.

    epsilon: world units; the densities are read sqrt(3) epsilon away. About half a cell of the finest
    grid sees what the grid can hold. Differentiable once with respect to the field, whatever its encoding:
    the ones to use in a loss. Where the density is constant the normal is 0.
    """
    corners = _corners(x.device, x.dtype)
    points = x[None] + epsilon * corners[:, None]
    density = field.density(points.view(-1, 3)).view(4, -1)
    return F.normalize(-torch.einsum("kn,kd->nd", density, corners), dim=-1, eps=1e-6)


def analytic_normals(field: RadianceField, x: Tensor, create_graph: bool = False) -> Tensor:
    """Unit normals (N,3) at world points x (N,3) from automatic differentiation.

    create_graph: make them differentiable in turn, which a HashGrid always allows and a DenseGrid where
    `dense_grid.differentiates_twice` (else PyTorch raises RuntimeError in the backward pass).
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(field.density(x).sum(), x, create_graph=create_graph)
    return F.normalize(-gradient, dim=-1, eps=1e-6)


def surface(
    field: RadianceField, x: Tensor, normals: str, epsilon: float
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Density (N,), colour (N,3) in 0..1 and, where asked for, unit normals (N,3) of world points x (N,3).

    normals: "none", "analytic" (the features are computed once for all three) or "finite", with `epsilon`
    as for `finite_difference_normals`. All three carry gradients to the field's parameters if those are on.
    """
    if normals == "none":
        return (*field(x), None)
    if normals == "finite":
        return (*field(x), finite_difference_normals(field, x, epsilon))
    density, colour, gradient = field.with_gradient(x)
    direction = F.normalize(-gradient, dim=-1, eps=1e-6)
    if torch.is_grad_enabled():
        return density, colour, direction
    return density.detach(), colour.detach(), direction.detach()
