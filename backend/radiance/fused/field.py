# SPDX-License-Identifier: GPL-3.0-or-later
"""Densities, colours and density gradients of packed samples, and the way back to the field's parameters."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import torch
import triton
from torch import Tensor, nn

from backend.radiance.field import RadianceField
from backend.radiance.fused import backward_kernels, forward_kernels
from backend.radiance.fused.marching import Marched
from backend.radiance.hash_grid import HashGrid
from backend.radiance.hash_grid_triton import adds_pairs, as_pairs

_BLOCK = 64
_WARPS = 4
_SCATTER_BLOCK = 256
_TILE_WIDTH = 8


@dataclass(frozen=True)
class Evaluated:
    """What a field is at N samples. Where a ray sees no further, all is 0.

    density (N,) per world unit; colour (N,3) in 0..1; gradient (N,3) or None: of the density activation's
    argument by position, which points where the density's own gradient does; live (R,) int32: how many
    samples of each ray were evaluated.
    """

    density: Tensor
    colour: Tensor
    gradient: Tensor | None
    live: Tensor


def suits(field: RadianceField) -> bool:
    """Whether the kernels are made for such a field: a hash grid under networks without biases."""
    grid = field.encoding
    if not isinstance(grid, HashGrid) or grid.features != 2:
        return False
    nets = (field.density_net, field.colour_net)
    plain = all(len(net) == 3 and all(layer.bias is None for layer in _linear(net)) for net in nets)
    return plain and len(grid.levels) <= 32 and _hidden(field) <= 128


def evaluate(field: RadianceField, marched: Marched, want_gradient: bool, early_stop: float) -> Evaluated:
    """The field at the samples. Gradients of density, colour and gradient reach the field's parameters.

    early_stop: a ray ends where less light than this is left.
    """
    scene = _Scene.of(field)
    density, colour, gradient, live = _Evaluate.apply(
        *_parameters(field), scene, marched, want_gradient, early_stop
    )
    return Evaluated(density, colour, gradient if want_gradient else None, live)


@torch.no_grad()
def at_points(field: RadianceField, x: Tensor, want_colour: bool) -> tuple[Tensor, Tensor]:
    """Density (N,) and colour (N,3), empty if it is not wanted, of world points (N,3). No gradients."""
    scene, count = _Scene.of(field), x.shape[0]
    x = x.contiguous()
    density = torch.empty(count, device=x.device)
    colour = torch.empty((count, 3) if want_colour else (0, 3), device=x.device)
    if count:
        forward_kernels.field_forward[(triton.cdiv(count, _BLOCK),)](
            x, x, x, x, *scene.arguments(_parameters(field)), density, colour, x, x,
            count, *scene.sizes, 0, *scene.numbers, 0.0, 0.0,
            points=True, want_colour=want_colour, want_gradient=False,
            lp=scene.padded_levels, hp=scene.padded_hidden, tile_width=0, block=_BLOCK, num_warps=_WARPS,
        )  # fmt: skip
    return density, colour


@dataclass(frozen=True)
class _Scene:
    """What the kernels must know of a field besides its parameters."""

    scales: Tensor
    geometry: Tensor
    levels: int
    hidden: int
    numbers: tuple[float, ...]

    @classmethod
    def of(cls, field: RadianceField) -> _Scene:
        grid, activation = field.encoding, field.activation
        assert isinstance(grid, HashGrid)
        numbers = (
            field.bound, activation.multiplier, activation.sharpness, activation.blob_scale,
            activation.blob_radius,
        )  # fmt: skip
        return cls(grid.scales, grid.geometry, len(grid.levels), _hidden(field), numbers)

    @property
    def sizes(self) -> tuple[int, int]:
        return self.levels, self.hidden

    @property
    def padded_levels(self) -> int:
        return max(16, triton.next_power_of_2(self.levels))

    @property
    def padded_hidden(self) -> int:
        return max(16, triton.next_power_of_2(self.hidden))

    def arguments(self, parameters: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The kernels' arguments from the table on. Its entries are read in half precision, two at a time."""
        table, *networks = parameters
        pairs = as_pairs(table.detach().half())
        return pairs, self.scales, self.geometry, *(weight.detach().contiguous() for weight in networks)


class _Evaluate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        table: Tensor,
        density1: Tensor,
        density2: Tensor,
        colour1: Tensor,
        colour2: Tensor,
        scene: _Scene,
        marched: Marched,
        want_gradient: bool,
        early_stop: float,
    ) -> tuple[Tensor, ...]:
        rays, count = marched.origins.shape[0], marched.t.shape[0]
        device = table.device
        density, colour = torch.zeros(count, device=device), torch.zeros(count, 3, device=device)
        gradient = torch.zeros((count, 3) if want_gradient else (0, 3), device=device)
        live = torch.zeros(rays, dtype=torch.int32, device=device)
        arguments = scene.arguments((table, density1, density2, colour1, colour2))
        if count:
            forward_kernels.field_forward[(triton.cdiv(rays, _BLOCK),)](
                marched.origins, marched.directions, marched.t, marched.first, *arguments,
                density, colour, gradient, live,
                rays, *scene.sizes, marched.width, *scene.numbers, marched.length, early_stop,
                points=False, want_colour=True, want_gradient=want_gradient,
                lp=scene.padded_levels, hp=scene.padded_hidden, tile_width=_tile_width(marched), block=_BLOCK,
                num_warps=_WARPS,
            )  # fmt: skip
        ctx.save_for_backward(live, *arguments)
        ctx.scene, ctx.marched, ctx.want_gradient, ctx.shape = scene, marched, want_gradient, table.shape
        ctx.mark_non_differentiable(live)
        return density, colour, gradient, live

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        live, pairs, scales, geometry, *networks = ctx.saved_tensors
        scene, marched = ctx.scene, ctx.marched
        d_density, d_colour, d_gradient = (each.contiguous() for each in gradients[:3])
        count, device = marched.t.shape[0], live.device
        d_table = torch.zeros(ctx.shape, device=device)
        d_networks = [torch.zeros_like(weight) for weight in networks]
        if count:
            places = (marched.origins, marched.directions, marched.t, marched.ray, marched.first, live)
            features = torch.empty(scene.levels, count, dtype=torch.int32, device=device)
            pull = torch.empty_like(features) if ctx.want_gradient else features
            backward_kernels.networks_backward[(min(triton.cdiv(count, _BLOCK), _programs(device)),)](
                *places, pairs, scales, geometry, *networks, d_density, d_colour, d_gradient, features, pull,
                *d_networks, count, *scene.sizes, *scene.numbers,
                with_gradient=ctx.want_gradient, exact=not live.is_cuda,
                lp=scene.padded_levels, hp=scene.padded_hidden, block=_BLOCK, num_warps=_WARPS,
            )  # fmt: skip
            backward_kernels.table_backward[(triton.cdiv(count, _SCATTER_BLOCK), scene.levels)](
                *places, scales, geometry, d_gradient, features, pull, d_table,
                count, scene.numbers[0], scene.numbers[2],
                with_gradient=ctx.want_gradient, vector=adds_pairs(device), block=_SCATTER_BLOCK,
            )  # fmt: skip
        return d_table, *d_networks, None, None, None, None


def _tile_width(marched: Marched) -> int:
    """Rectangles of a picture have more neighbours that read the same cells; 0 where there are none."""
    width, height = marched.width, _BLOCK // _TILE_WIDTH
    if not width or width % _TILE_WIDTH or (marched.origins.shape[0] // width) % height:
        return 0
    return _TILE_WIDTH


@functools.cache
def _programs(device: torch.device) -> int:
    """As many as run at once, each of which then takes many blocks."""
    if device.type != "cuda":
        return 4
    return 2 * torch.cuda.get_device_properties(device).multi_processor_count


def _parameters(field: RadianceField) -> tuple[Tensor, ...]:
    grid = field.encoding
    assert isinstance(grid, HashGrid)
    nets = (field.density_net, field.colour_net)
    return grid.table, *(layer.weight for net in nets for layer in _linear(net))


def _linear(net: nn.Sequential) -> tuple[nn.Linear, ...]:
    return tuple(layer for layer in net if isinstance(layer, nn.Linear))


def _hidden(field: RadianceField) -> int:
    return _linear(field.density_net)[0].out_features
