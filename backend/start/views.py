# SPDX-License-Identifier: GPL-3.0-or-later
"""A start from pictures: four sampled views, cut out, make the first field that distillation goes on from.

A sampler draws in ten passes what distillation from a blob takes a hundred steps to find out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from backend.cameras import conditioning, distance_for, orbit_views
from backend.diffusion.sampler import Sampler, before_colour, decode, draw_noise
from backend.gpu_errors import crashes_explained, shortage_of
from backend.start import coarse
from backend.start.fitting import CutOuts, fit
from backend.start.foreground import cut_out
from backend.start.visual_hull import inside_hull

if TYPE_CHECKING:
    from backend.distillation import Distillation

OnStep = Callable[[int, int], None]

log = logging.getLogger(__name__)

SAMPLER_STEPS, HULL_STEPS, PICTURE_STEPS = 10, 30, 120
"""With 6 passes of the shipped model pictures are full of noise, with 10 they are clean. After 20 steps of
4096 rays an umbrella's stripes are still one mixed colour, after 80 they are stripes."""
HULL_NODES = 48
ELEVATION = 8.0
"""Low enough for the outlines to show what is narrow under something wide: from 20 degrees it was filled."""
_SHORT = "Memory ran out on the way to a first shape: the object started from a ball."
_NOTHING_THERE = "The sampled views show no object: this one started from a ball. Another seed may show one."
KEY = (0.0, 1.0, 0.0)
"""The background that is asked for. An object of just this green would vanish in it."""


def start_from_views(distillation: Distillation, on_pass: OnStep, on_step: OnStep) -> str:
    """Fits the field of a distillation that has taken no step yet to views sampled for its prompt.

    The same seed gives the same field. It stays as it is where the views show no object, or where memory runs
    out; then a sentence for the user is returned, otherwise "". on_pass(done, passes) is called after each of
    the sampler's passes, on_step(done, steps) before and after each step on its pictures; both may raise to
    end it. The model must have its image decoder, which it loses here.
    """
    model, parts = distillation.guidance.model, (distillation.field, distillation.occupancy)
    before = [{name: each.clone() for name, each in part.state_dict().items()} for part in parts]
    sentence = ""

    def work() -> None:
        nonlocal sentence
        if not _start(distillation, on_pass, on_step):
            sentence = _NOTHING_THERE

    with crashes_explained():
        if shortage_of(work) is not None:
            sentence = _SHORT
            for part, state in zip(parts, before, strict=True):
                part.load_state_dict(state)
        # What the pictures took is for the steps to come.
        model.release_graphs()
        model.drop_image_decoder()
        if distillation.device.type == "cuda":
            torch.cuda.empty_cache()
    if sentence:
        sentence += coarse(distillation.numbers.steps)
        log.warning("%s", sentence)
    return sentence


def _start(distillation: Distillation, on_pass: OnStep, on_step: OnStep) -> bool:
    """Whether the views show an object."""
    guidance, numbers = distillation.guidance, distillation.numbers
    model = guidance.model
    ranges = distillation.ranges
    # The model sees the camera's direction only, so how far away it thinks it is has to be guessed.
    fov = sum(ranges.fov) / 2
    distance = distance_for(fov, sum(ranges.relative_distance) / 2)
    views = orbit_views(distillation.views, ELEVATION, distance, fov, distillation.device)
    noise = before_colour(model, draw_noise(model, distillation.seed), KEY)
    sampler = Sampler(SAMPLER_STEPS, numbers.guidance_scale, numbers.guidance_rescale)
    latents = sampler(
        model,
        noise,
        guidance.context,
        guidance.negative_context,
        conditioning(views.c2w),
        lambda done, _: on_pass(done, SAMPLER_STEPS),
    )
    # Decoding, one view at a time, and fitting have no use for the network's graph.
    model.release_graphs()
    cut_outs = CutOuts(views, *cut_out(decode(model, latents, 1)))
    if not _agree(cut_outs, distillation.field.bound):
        return False
    on_step(0, PICTURE_STEPS)
    generator = torch.Generator(distillation.device).manual_seed(distillation.seed + 2)
    fit(
        distillation.field,
        distillation.occupancy,
        cut_outs,
        HULL_STEPS,
        PICTURE_STEPS,
        numbers.samples_per_ray,
        generator,
        lambda done: on_step(done, PICTURE_STEPS),
    )
    return True


def _agree(cut_outs: CutOuts, bound: float) -> bool:
    """Whether there is any place that all pictures show the object at."""
    nodes = torch.linspace(-bound, bound, HULL_NODES, device=cut_outs.alpha.device)
    points = torch.cartesian_prod(nodes, nodes, nodes)
    return bool(inside_hull(points, cut_outs.alpha, cut_outs.views.c2w, cut_outs.views.fov).any())
