# SPDX-License-Identifier: GPL-3.0-or-later
"""Trilinear reading of dense grids as pictures of their slices: with AVX2 in half the time.

ATen's three-dimensional grid_sample uses no vector instructions, the two-dimensional one does. So a point is
read in the slice below it and in the one above, which lie in one tall picture of all slices. The price is in
its rows: where float32 counts D^2 of them, a place is exact to 2.4e-4 of a cell for D = 64, and at the edge
y = 1 such a share may come from the next slice's first row.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_BILINEAR, _BORDER = 0, 1
"""ATen's numbers of grid_sample's modes."""


@functools.cache
def pays() -> bool:
    """Whether ATen's two-dimensional grid_sample is quicker here: with AVX2 it is, without any it is not."""
    return torch.backends.cpu.get_cpu_capability().startswith("AVX")


def read(x: Tensor, levels: Sequence[Tensor], splits: int) -> Tensor:
    """Features (N, L F) of positions x (N, 3) in 0..1, differentiable in the levels (1, F, D, D, D) alone.

    splits: equal parts of a batch in which ATen reads, a thread each.
    """
    features: Tensor = _Read.apply(x, splits, torch.is_grad_enabled(), *levels)
    return features


class _Read(torch.autograd.Function):
    """By hand, since autograd would fill and add whole arrays for each half that was taken of one."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, splits: int, keep: bool, *levels: Tensor) -> Tensor:
        count = x.shape[0]
        padding = -count % splits
        points = F.pad(x.t(), (0, padding)).clamp_(0, 1).view(3, splits, -1)
        features = x.new_empty(len(levels), levels[0].shape[1], *points.shape[1:])
        found: list[Tensor] = []
        for level, out in zip(levels, features, strict=True):
            grid, above = _places(points, level.shape[2])
            both = F.grid_sample(_picture(level, splits), grid, padding_mode="border", align_corners=True)
            torch.lerp(both[:, :, 0], both[:, :, 1], above[:, None], out=out.transpose(0, 1))
            if keep:
                found += grid, above
        ctx.save_for_backward(*levels, *found)
        ctx.padding = padding
        return features.view(-1, count + padding)[:, :count].t()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        needed = ctx.needs_input_grad[3:]
        levels, found = ctx.saved_tensors[: len(needed)], ctx.saved_tensors[len(needed) :]
        parts = F.pad(gradients[0].t(), (0, ctx.padding)).chunk(len(levels))
        results: list[Tensor | None] = []
        for number, (level, part) in enumerate(zip(levels, parts, strict=True)):
            grid, above = found[2 * number : 2 * number + 2]
            results.append(_pull(level, part, grid, above) if needed[number] else None)
        return None, None, None, *results


def _places(points: Tensor, nodes: int) -> tuple[Tensor, Tensor]:
    """Where a picture of slices is read, below and above, (S, 2, N, 2) in -1..1; the upper's share (S, N).

    points: (3, S, N) in 0..1.
    """
    height = points[2] * (nodes - 1)
    below = height.floor().clamp_max_(nodes - 2)
    scale = 2 / (nodes * nodes - 1)
    # x and y lie side by side in memory, as grid_sample likes them, too.
    grid = points.new_empty(2, points.shape[1], 2, points.shape[2])
    grid[0] = (points[0] * 2 - 1)[:, None]
    row = torch.add(below * nodes, points[1], alpha=nodes - 1).mul_(scale).sub_(1)
    grid[1, :, 0] = row
    torch.add(row, nodes * scale, out=grid[1, :, 1])
    return grid.permute(1, 2, 3, 0), height.sub_(below)


def _picture(level: Tensor, splits: int) -> Tensor:
    _, features, nodes, _, _ = level.shape
    return level.view(1, features, nodes * nodes, nodes).expand(splits, -1, -1, -1)


def _pull(level: Tensor, gradient: Tensor, grid: Tensor, above: Tensor) -> Tensor:
    """A level's gradient from that of its features (F, S N)."""
    splits, count = above.shape
    to_features = gradient.unflatten(1, (splits, count)).transpose(0, 1)
    to_both = gradient.new_empty(splits, len(gradient), 2, count)
    torch.mul(to_features, above[:, None], out=to_both[:, :, 1])
    torch.sub(to_features, to_both[:, :, 1], out=to_both[:, :, 0])
    pulled: Tensor = torch.ops.aten.grid_sampler_2d_backward(
        to_both, _picture(level, splits), grid, _BILINEAR, _BORDER, True, (True, False)
    )[0]
    return (pulled.sum(0) if splits > 1 else pulled).view_as(level)
