# SPDX-License-Identifier: GPL-3.0-or-later
"""What the numbers of a recipe ask for: field, background, occupancy grid, optimiser; and what a step is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from backend.adam import AdamW
from backend.cameras import ViewRanges
from backend.diffusion.config import ModelConfig
from backend.errors import UserError
from backend.radiance.backgrounds import Background, LearnedBackground, RandomBackground
from backend.radiance.dense_grid import DenseGrid, differentiates_twice
from backend.radiance.encodings import Encoding
from backend.radiance.field import DensityActivation, RadianceField
from backend.radiance.hash_grid import HashGrid
from backend.settings import Numbers


@dataclass(frozen=True)
class Stage:
    """What a step renders: so many views, so many pixels along an edge."""

    views: int
    size: int


def stage_at(numbers: Numbers, step: int) -> Stage:
    """The stage of optimisation step `step` (counted from 0)."""
    if step < numbers.refine_from * numbers.steps:
        return Stage(numbers.views_per_step, numbers.render_size)
    return Stage(numbers.refine_views_per_step, numbers.refine_render_size)


def encodes_tiny(numbers: Numbers, step: int) -> bool:
    """Whether the small image encoder reads the pictures of optimisation step `step` (counted from 0)."""
    return step < numbers.tiny_encoder_until * numbers.steps


def calls_from(numbers: Numbers, step: int) -> list[tuple[int, bool]]:
    """The ways in which steps from `step` on call the networks: so many views, the small encoder or not."""
    shares = numbers.refine_from, numbers.tiny_encoder_until
    steps = {step, *(math.ceil(share * numbers.steps) for share in shares)}
    coming = sorted(each for each in steps if step <= each < numbers.steps)
    return list(
        dict.fromkeys((stage_at(numbers, each).views, encodes_tiny(numbers, each)) for each in coming)
    )


def rate_factor(numbers: Numbers, step: int) -> float:
    """Share of the learning rates at a step: a linear warm-up, and a linear fall to a tenth at the end."""
    warm = min(1.0, (step + 1) / max(1, numbers.warmup))
    if numbers.decay_from >= 1:
        return warm
    late = (step / numbers.steps - numbers.decay_from) / (1 - numbers.decay_from)
    return warm * (1 - 0.9 * max(0.0, late))


def orientation_weight(numbers: Numbers, step: int) -> float:
    """Weight of the orientation loss at a step: grows linearly, then stays."""
    growing = max(1.0, numbers.orientation_until * numbers.steps)
    share = min(1.0, step / growing)
    return numbers.orientation_start + (numbers.orientation - numbers.orientation_start) * share


def view_ranges(numbers: Numbers, config: ModelConfig) -> ViewRanges:
    """The cameras to draw from: the model's own, unless the numbers say otherwise."""
    trained = config.view_ranges
    return ViewRanges(
        numbers.fov or trained.fov,
        numbers.elevation or trained.elevation,
        numbers.distance or trained.relative_distance,
    )


def kind_of_normals(numbers: Numbers, device: torch.device) -> str:
    """ "none", "analytic" or "finite". Raises UserError for what this PyTorch can't do."""
    if not numbers.needs_normals:
        return "none"
    hashed = numbers.encoding_on(device.type) == "hash"
    if numbers.normals == "analytic" and not (hashed or differentiates_twice()):
        raise UserError(
            "This PyTorch can't train analytic normals on dense grids."
            " Set normals to finite, or encoding to hash."
        )
    if numbers.normals != "auto":
        return numbers.normals
    return "analytic" if hashed else "finite"


def make_field(numbers: Numbers, bound: float, device: torch.device, seed: int) -> RadianceField:
    """A fresh field on the device. Its weights are drawn on the CPU: a seed means the same everywhere."""
    start = torch.Generator().manual_seed(seed)
    encoding: Encoding
    if numbers.encoding_on(device.type) == "dense":
        encoding = DenseGrid(generator=start)
    else:
        encoding = HashGrid(
            numbers.hash_levels,
            log2_size=numbers.hash_log2_size,
            base=numbers.hash_base,
            finest=max(numbers.hash_finest, numbers.hash_base),
            generator=start,
        )
    activation = DensityActivation(
        numbers.density_multiplier, blob_scale=numbers.blob_scale, blob_radius=numbers.blob_radius
    )
    bias = numbers.network_bias == "yes"
    return RadianceField(encoding, bound, numbers.hidden, activation, start, bias).to(device)


def make_background(numbers: Numbers, views: int, device: torch.device, seed: int) -> Background:
    """The background of training steps, on the device."""
    if numbers.background == "random":
        return RandomBackground(views_per_colour=views).to(device)
    start = torch.Generator().manual_seed(seed + 1)
    return LearnedBackground(
        random_probability=numbers.background_random, generator=start, bias=numbers.network_bias == "yes"
    ).to(device)


def make_optimizer(numbers: Numbers, field: RadianceField, background: nn.Module) -> AdamW:
    """AdamW with a learning rate for each part. `base_rate` of a group is its rate before `rate_factor`."""
    networks = [p for net in (field.density_net, field.colour_net) for p in net.parameters()]
    groups = [
        (list(field.encoding.parameters()), numbers.grid_rate),
        (networks, numbers.network_rate),
        (list(background.parameters()), numbers.background_rate),
    ]
    return AdamW(
        [{"params": params, "lr": rate, "base_rate": rate} for params, rate in groups if params],
        betas=(0.9, 0.99),
        eps=numbers.epsilon,
        weight_decay=numbers.weight_decay,
    )
