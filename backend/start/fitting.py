# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings a field to a hull, and then to pictures: cheap steps, as no diffusion model takes part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from backend.adam import AdamW
from backend.cameras import Views, rays
from backend.radiance.dense_grid import DenseGrid
from backend.radiance.encodings import Encoding
from backend.radiance.field import RadianceField
from backend.radiance.losses import add_total_variation_gradient
from backend.radiance.occupancy import OccupancyGrid
from backend.radiance.rendering import render
from backend.start.visual_hull import inside_hull

POINTS, RAYS = 4096, 512
GRID_RATE, NETWORK_RATE = 0.03, 0.0075
"""Many steps of few rays at a high rate: 120 of 512 come as near to the pictures as 80 of 4096 at two thirds
of the rate, in a third of the time (docs/schedule.md)."""
FINEST_FROM = 2 / 3
"""Share of the picture steps after which a dense grid's finest level joins. It is most of the field, so steps
without it are cheap; and where it takes part from the first one, surfaces stay rough."""
VARIATION = 0.3
"""Weight of total variation beside a loss that is a mean over pixels."""


@dataclass(frozen=True)
class CutOuts:
    """Pictures of one object without their background, and their cameras.

    colours (V, H, W, 3) and alpha (V, H, W), both 0..1.
    """

    views: Views
    colours: Tensor
    alpha: Tensor


def fit(
    field: RadianceField,
    occupancy: OccupancyGrid,
    cut_outs: CutOuts,
    hull_steps: int,
    picture_steps: int,
    samples: int,
    generator: torch.Generator,
    on_step: Callable[[int], None] = lambda done: None,
) -> None:
    """Makes a fresh field look like the pictures, and updates its occupancy grid.

    samples: bins across the field's sphere, as for `render`. generator: on the field's device.
    on_step(done) is called after each of the picture steps.
    """
    optimizer = _optimizer(field)
    lines = rays(cut_outs.views.c2w, cut_outs.views.fov, *cut_outs.alpha.shape[1:])
    origins, directions = (each.reshape(-1, 3) for each in lines)

    def towards_pictures(steps: range) -> None:
        for done in steps:
            optimizer.zero_grad()
            _picture_loss(field, occupancy, cut_outs, origins, directions, samples, generator).backward()
            if isinstance(field.encoding, DenseGrid):
                for level in field.encoding.parameters():
                    add_total_variation_gradient(level, VARIATION)
            optimizer.step()
            on_step(done + 1)

    joins = round(FINEST_FROM * picture_steps)
    with _one_thread(generator.device):
        with _without_finest(field.encoding):
            for _ in range(hull_steps):
                optimizer.zero_grad()
                _hull_loss(field, cut_outs, 2 * field.bound / samples, generator).backward()
                optimizer.step()
            occupancy.update(field)  # before that it may know of a smaller object
            towards_pictures(range(joins))
        towards_pictures(range(joins, picture_steps))
    occupancy.update(field)


def _optimizer(field: RadianceField) -> AdamW:
    networks = [p for net in (field.density_net, field.colour_net) for p in net.parameters()]
    groups = [
        {"params": list(field.encoding.parameters()), "lr": GRID_RATE},
        {"params": networks, "lr": NETWORK_RATE},
    ]
    return AdamW(groups, betas=(0.9, 0.99))


@contextmanager
def _one_thread(device: torch.device) -> Iterator[None]:
    """On a processor: so small are the works of a step that a second thread's waking costs what it saves, and
    beside another program several times that."""
    threads = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _without_finest(encoding: Encoding) -> Iterator[None]:
    """The finest level of dense grids gets no gradient meanwhile. A hash grid has all its levels in one."""
    finest = [list(encoding.levels)[-1]] if isinstance(encoding, DenseGrid) else []
    for level in finest:
        level.requires_grad_(False)
    try:
        yield
    finally:
        for level in finest:
            level.requires_grad_(True)


def _hull_loss(field: RadianceField, cut_outs: CutOuts, length: float, generator: torch.Generator) -> Tensor:
    """Cross entropy of "solid over `length` world units" with "inside the hull", at random points.

    Inside and outside count for half each: otherwise a thin object would drown in the air around it.
    """
    points = torch.rand(POINTS, 3, generator=generator, device=generator.device) * 2 - 1
    inside = inside_hull(points * field.bound, cut_outs.alpha, cut_outs.views.c2w, cut_outs.views.fov)
    depth = field.density(points * field.bound) * length
    within = points.square().sum(-1) < 1  # outside the sphere the density is 0 whatever the field says
    solid = -torch.log(-torch.expm1(-depth.clamp_min(1e-6)))
    share = inside.float().mean().clamp(0.02, 0.5)
    weighted = torch.where(inside, solid * (0.5 / share), depth * (0.5 / (1 - share)))
    return (weighted * within).mean()


def _picture_loss(
    field: RadianceField,
    occupancy: OccupancyGrid,
    cut_outs: CutOuts,
    origins: Tensor,
    directions: Tensor,
    samples: int,
    generator: torch.Generator,
) -> Tensor:
    """Squared difference in some of the pixels, behind each a colour of its own, so that outlines count."""
    device = generator.device
    pick = torch.randint(cut_outs.alpha.numel(), (RAYS,), generator=generator, device=device)
    behind = torch.rand(RAYS, 3, generator=generator, device=device)
    jitter = torch.rand(RAYS, generator=generator, device=device)
    alpha = cut_outs.alpha.reshape(-1)[pick, None]
    target = alpha * cut_outs.colours.reshape(-1, 3)[pick] + (1 - alpha) * behind
    rendered = render(field, occupancy, origins[pick], directions[pick], behind, samples, jitter)
    return (rendered.rgb - target).square().sum(-1).mean()
