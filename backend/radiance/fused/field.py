# SPDX-License-Identifier: GPL-3.0-or-later
"""Densities, colours and density gradients of packed samples, and the way back to the field's parameters."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor, nn

from backend.radiance.field import RadianceField
from backend.radiance.fused import backward_kernels, forward_kernels, table_kernels
from backend.radiance.fused.marching import Marched
from backend.radiance.fused.networks import Networks, join, part
from backend.radiance.hash_grid import HashGrid
from backend.radiance.hash_grid_triton import adds_pairs, as_pairs

_BLOCK, _ALONG, _TILE_WIDTH, _WARPS = 64, 8, 4, 4
_POINTS_BLOCK, _POINTS_WARPS = 64, 4
_DERIVED_BLOCK, _DERIVED_WARPS = 32, 4
_BACKWARD_BLOCK, _BACKWARD_WARPS, _BACKWARD_PROGRAMS = 64, 4, 2
_TABLE_BLOCK, _TABLE_WIDTH, _TABLE_WARPS = 16, 4, 4


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
    single = all(parameter.dtype == torch.float32 for parameter in _parameters(field))
    return plain and single and len(grid.levels) <= 32 and field.hidden <= 64


def evaluate(field: RadianceField, marched: Marched, want_gradient: bool, early_stop: float) -> Evaluated:
    """The field at the samples. Gradients of density, colour and gradient reach the field's parameters.

    early_stop: a ray ends where less light than this is left.
    """
    parameters = _parameters(field)
    # Asked here: inside a function gradients are off, and what it is told of its inputs says nothing of that.
    keep = torch.is_grad_enabled() and any(each.requires_grad for each in parameters)
    density, colour, gradient, live = _Evaluate.apply(
        *parameters, _Scene.of(field), marched, want_gradient, early_stop, keep
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
        table, *weights = _parameters(field)
        networks = join(weights, _kind(x.device))
        forward_kernels.field_forward[(triton.cdiv(count, _POINTS_BLOCK),)](
            x, x, x, x, scene.entries(table), *scene.grid, *networks, density, colour, x, x, x,
            count, scene.levels, 0, *scene.numbers, 0.0, 0.0,
            points=True, want_colour=want_colour, want_gradient=False, keep=False,
            lp=scene.padded_levels, hp=networks.padded_hidden, tile_width=0, block=_POINTS_BLOCK,
            along=1, num_warps=_POINTS_WARPS,
        )  # fmt: skip
    return density, colour


@dataclass(frozen=True)
class _Scene:
    """What the kernels must know of a field besides its parameters."""

    scales: Tensor
    geometry: Tensor
    levels: int
    numbers: tuple[float, ...]

    @classmethod
    def of(cls, field: RadianceField) -> _Scene:
        grid, activation = field.encoding, field.activation
        assert isinstance(grid, HashGrid)
        numbers = (
            field.bound, activation.multiplier, activation.sharpness, activation.blob_scale,
            activation.blob_radius,
        )  # fmt: skip
        return cls(grid.scales, grid.geometry, len(grid.levels), numbers)

    @property
    def grid(self) -> tuple[Tensor, Tensor]:
        return self.scales, self.geometry

    @property
    def padded_levels(self) -> int:
        return max(16, triton.next_power_of_2(self.levels))

    def entries(self, table: Tensor) -> Tensor:
        """The table as kernels read it: in half precision, both features of an entry at once."""
        return as_pairs(table.detach().half())


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
        keep: bool,
    ) -> tuple[Tensor, ...]:
        rays, count = marched.origins.shape[0], marched.t.shape[0]
        device = table.device
        density, colour = torch.zeros(count, device=device), torch.zeros(count, 3, device=device)
        gradient = torch.zeros((count, 3) if want_gradient else (0, 3), device=device)
        live = torch.zeros(rays, dtype=torch.int32, device=device)
        entries = scene.entries(table)
        networks = join((density1, density2, colour1, colour2), _kind(device))
        features = torch.empty(
            count if keep else 0, 2 * scene.levels, dtype=networks.first.dtype, device=device
        )
        if count:
            forward_kernels.field_forward[(triton.cdiv(rays, _BLOCK // _ALONG),)](
                marched.origins, marched.directions, marched.t, marched.first, entries, *scene.grid,
                *networks, density, colour, gradient, features, live,
                rays, scene.levels, marched.width, *scene.numbers, marched.length, early_stop,
                points=False, want_colour=True, want_gradient=want_gradient, keep=keep,
                lp=scene.padded_levels, hp=networks.padded_hidden,
                tile_width=_tile_width(marched, _BLOCK // _ALONG, _TILE_WIDTH), block=_BLOCK, along=_ALONG,
                num_warps=_WARPS,
            )  # fmt: skip
        ctx.save_for_backward(live, entries, *networks, density, colour, features)
        ctx.scene, ctx.marched, ctx.want_gradient = scene, marched, want_gradient
        ctx.shape, ctx.hidden = table.shape, density1.shape[0]
        ctx.mark_non_differentiable(live)
        return density, colour, gradient, live

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        live, entries, first, last, density, colour, features = ctx.saved_tensors
        scene, marched, networks = ctx.scene, ctx.marched, Networks(first, last)
        d_density, d_colour, d_gradient = (each.contiguous() for each in gradients[:3])
        count, device = marched.t.shape[0], live.device
        d_table = torch.zeros(ctx.shape, device=device)
        d_networks = Networks(*(torch.zeros_like(each, dtype=torch.float32) for each in networks))
        if count:
            d_features = torch.empty(scene.levels, count, dtype=torch.int32, device=device)
            pull = torch.empty_like(d_features) if ctx.want_gradient else d_features
            rays = (marched.ray, marched.first, live)
            if ctx.want_gradient:
                backward_kernels.features_along[(triton.cdiv(count, _DERIVED_BLOCK),)](
                    marched.origins, marched.directions, marched.t, *rays, entries, *scene.grid,
                    d_gradient, pull, count, scene.levels, scene.numbers[0], scene.numbers[2],
                    lp=scene.padded_levels, block=_DERIVED_BLOCK, num_warps=_DERIVED_WARPS,
                )  # fmt: skip
            programs = min(triton.cdiv(count, _BACKWARD_BLOCK), _programs(device))
            backward_kernels.networks_backward[(programs,)](
                *rays, *networks, density, colour, features,
                d_density, d_colour, d_features, pull, *d_networks, count, scene.levels, *scene.numbers[1:3],
                with_gradient=ctx.want_gradient, kind=tl.bfloat16 if live.is_cuda else tl.float32,
                lp=scene.padded_levels, hp=networks.padded_hidden, block=_BACKWARD_BLOCK,
                num_warps=_BACKWARD_WARPS,
            )  # fmt: skip
            table_kernels.table_backward[(triton.cdiv(live.shape[0], _TABLE_BLOCK), scene.levels)](
                marched.origins, marched.directions, marched.t, marched.first, live, *scene.grid,
                d_gradient, d_features, pull, d_table,
                count, live.shape[0], marched.width, scene.numbers[0], scene.numbers[2],
                with_gradient=ctx.want_gradient, vector=adds_pairs(device),
                tile_width=_tile_width(marched, _TABLE_BLOCK, _TABLE_WIDTH), block=_TABLE_BLOCK,
                num_warps=_TABLE_WARPS,
            )  # fmt: skip
        return d_table, *part(d_networks, ctx.hidden), None, None, None, None, None


def _kind(device: torch.device) -> torch.dtype:
    """Of weights and features in products. TensorFloat-32 would have no more digits than half precision."""
    return torch.float16 if device.type == "cuda" else torch.float32


def _tile_width(marched: Marched, rays: int, tile_width: int) -> int:
    """Rectangles of a picture have more neighbours that read the same cells; 0 where there are none."""
    width, height = marched.width, rays // tile_width
    if not width or width % tile_width or (marched.origins.shape[0] // width) % height:
        return 0
    return tile_width


@functools.cache
def _programs(device: torch.device) -> int:
    """As many as run at once, each of which then takes many blocks."""
    if device.type != "cuda":
        return 4
    return _BACKWARD_PROGRAMS * torch.cuda.get_device_properties(device).multi_processor_count


def _parameters(field: RadianceField) -> tuple[Tensor, ...]:
    grid = field.encoding
    assert isinstance(grid, HashGrid)
    nets = (field.density_net, field.colour_net)
    return grid.table, *(layer.weight for net in nets for layer in _linear(net))


def _linear(net: nn.Sequential) -> tuple[nn.Linear, ...]:
    return tuple(layer for layer in net if isinstance(layer, nn.Linear))
