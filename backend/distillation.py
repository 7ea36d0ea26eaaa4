# SPDX-License-Identifier: GPL-3.0-or-later
"""The optimisation: a radiance field that, seen from four sides at once, looks right to the model."""

from __future__ import annotations

import hashlib
import logging
import random
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from backend.ahead import Ahead, Leash
from backend.cameras import Views, rays, sample_views
from backend.checkpoint import note_of, read_checkpoint, write_checkpoint
from backend.compile_failures import compile_failures_explained
from backend.diffusion.model import MultiViewDiffusion
from backend.errors import Cancelled
from backend.gpu_errors import crashes_explained, shortage_of
from backend.guidance import ScoreDistillation, anneal, draw_step
from backend.radiance.dense_grid import DenseGrid
from backend.radiance.losses import add_total_variation_gradient, opacity_entropy, orientation, sparsity
from backend.radiance.occupancy import OccupancyGrid
from backend.radiance.pictures import Pictures
from backend.radiance.rendered import Rendered
from backend.radiance.shading import draw_light
from backend.recipe import (
    calls_from,
    encodes_tiny,
    kind_of_normals,
    make_background,
    make_field,
    make_optimizer,
    orientation_weight,
    rate_factor,
    stage_at,
    view_ranges,
)
from backend.settings import Numbers

SMALLEST_CHUNK = 1024

log = logging.getLogger(__name__)


class Distillation:
    """One object in the making.

    The random numbers of a step depend on the seed and the step alone, so a resumed run takes the same
    path as an uninterrupted one.

    Args:
        model: with UNet and image encoder; frozen.
        context, negative_context: (1, L, D) encoded prompts.
        numbers: resolved settings.
        seed: of everything random.
    """

    def __init__(
        self,
        model: MultiViewDiffusion,
        context: Tensor,
        negative_context: Tensor,
        numbers: Numbers,
        seed: int,
    ) -> None:
        self.numbers = numbers
        self.seed = seed
        self.step_number = 0
        self.note = ""
        """What the user should know at the end; kept in checkpoints."""
        self.device = model.device
        self.views = model.config.views
        self.ranges = view_ranges(numbers, model.config)
        self.guidance = ScoreDistillation(
            model,
            context,
            negative_context,
            numbers.guidance_scale,
            numbers.guidance_rescale,
            "sds" if numbers.guidance_mode == "sds" else "x0",
        )
        bound = model.config.bound
        self.field = make_field(numbers, bound, self.device, seed)
        occupancy = OccupancyGrid(
            bound, numbers.occupancy_resolution, numbers.occupancy_density, numbers.occupancy_decay
        )
        self.occupancy = occupancy.to(self.device)
        self.background = make_background(numbers, self.views, self.device, seed)
        self.optimizer = make_optimizer(numbers, self.field, self.background)
        self.chunk = numbers.ray_chunk
        self.ahead, self.leash = Ahead(self.device), Leash(self.device)
        self.normals = kind_of_normals(numbers, self.device)

    @property
    def done(self) -> bool:
        """Whether all steps were taken."""
        return self.step_number >= self.numbers.steps

    def warm_up(self, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Calls the networks once in each way that steps to come will: what is compiled is compiled now.

        Nothing else changes by it. Raises UserError where torch.compile fails, Cancelled between two calls.
        """
        for views, tiny in calls_from(self.numbers, self.step_number):
            if cancelled():
                raise Cancelled
            side = self.guidance.model.config.image_size
            images = torch.zeros(views, side, side, 3, device=self.device, requires_grad=True)
            cameras = torch.eye(4, device=self.device).expand(views, 4, 4)
            generator = torch.Generator(self.device).manual_seed(0)
            with crashes_explained(), compile_failures_explained():
                self.guidance(images, cameras, 0, generator=generator, tiny=tiny).loss.backward()

    def step(self) -> None:
        """One optimisation step. Where memory does not suffice, again with fewer rays at a time.

        With the last one the networks' graphs are let go. Raises UserError where the graphics card crashed.
        """
        with crashes_explained():
            if self.step_number % self.numbers.occupancy_every == 0:
                self._insist(self._look_around)
                self.ahead.catch_up()
            self._insist(self._step)
            self.leash.step()
            self.step_number += 1
            self._drop_tiny_encoder()
            if self.done:
                self.guidance.model.release_graphs()

    def save(self, path: Path, identity: str) -> None:
        """Writes everything a later `resume` needs; `identity` names the job it belongs to."""
        write_checkpoint(path, self._modules(), self.optimizer, self.step_number, identity, self.note)

    def resume(self, path: Path, identity: str) -> bool:
        """Goes on from a checkpoint of the same job. False when there is none of it."""
        step = read_checkpoint(path, self._modules(), self.optimizer, identity)
        if step is None:
            return False
        self.step_number, self.note = step, note_of(path)
        self.ahead.catch_up()
        # What it started from is behind it.
        self.guidance.model.drop_image_decoder()
        self._drop_tiny_encoder()
        return True

    def _insist(self, work: Callable[[], None]) -> None:
        """Does it, and where memory runs out again, as long as room can be made."""
        while (shortage := shortage_of(work)) is not None:
            if not self._make_room():
                raise shortage

    def _look_around(self) -> None:
        self.occupancy.update(self.field, self._generator("occupancy"))

    def _step(self) -> None:
        """Renders four orthogonal views (or several sets of them), asks the model, and moves the field."""
        generator, dice = self._generator(), self._dice()
        stage = stage_at(self.numbers, self.step_number)
        with self.ahead.work():
            views = sample_views(stage.views // self.views, self.ranges, self.views, generator, self.device)
            noise_step = draw_step(self._noise_range(), generator, self.device)
            pictures = self._pictures(views, stage.size, generator, dice)
            pictures.march(self.chunk)
        self.ahead.hand_over((views.c2w, noise_step, *pictures.tensors))
        background = self.background(pictures.directions, generator)
        tiny = encodes_tiny(self.numbers, self.step_number)
        self.optimizer.zero_grad()

        def look(images: Tensor) -> Tensor:
            return self.guidance(images, views.c2w, noise_step, generator=generator, tiny=tiny).loss

        pictures.backward(look, self._regularisers, background, self.chunk)
        self._move()

    def _drop_tiny_encoder(self) -> None:
        """Lets it go, and what its graph holds, once the last step that wanted it was taken."""
        if self.numbers.tiny_encoder_until and not encodes_tiny(self.numbers, self.step_number):
            self.guidance.model.drop_tiny_encoder()

    def _pictures(self, views: Views, size: int, generator: torch.Generator, dice: random.Random) -> Pictures:
        """The pictures of a step, before any is rendered."""
        numbers = self.numbers
        origins, directions = rays(views.c2w, views.fov, size, size)
        late = self.step_number >= numbers.shading_from * numbers.steps
        light = draw_light(
            views.c2w,
            self.views,
            numbers.shading_probability if late else 0.0,
            numbers.textureless_probability,
            dice,
            generator,
        )
        needs_normals = light.look != "albedo" or self._orientation_weight() > 0
        return Pictures(
            self.field,
            self.occupancy,
            origins,
            directions,
            torch.rand(directions[..., 0].numel(), generator=generator, device=self.device),
            numbers.samples_per_ray,
            light,
            self.normals if needs_normals else "none",
            numbers.normal_step,
        )

    def _regularisers(self, rendered: Rendered, directions: Tensor, rays: int, hit: Tensor) -> Tensor:
        """Losses of some of the step's rays: sums over them, divided by all the step's rays.

        rendered: of some rays; directions: (R, 3) theirs; rays: of the whole step; hit: how many of those
        see anything at all, on the device.
        """
        numbers = self.numbers
        share = rendered.opacity.numel() / rays
        loss = rendered.opacity.new_zeros(())
        if numbers.sparsity:
            loss = loss + share * numbers.sparsity * sparsity(rendered.opacity)
        if numbers.entropy and self.step_number >= numbers.entropy_from * numbers.steps:
            loss = loss + share * numbers.entropy * opacity_entropy(rendered.opacity)
        weight = self._orientation_weight()
        if weight and rendered.normals is not None:
            towards = directions.index_select(0, rendered.ray)
            loss = loss + weight * orientation(rendered.weights, rendered.normals, towards, hit)
        return loss

    def _move(self) -> None:
        """Takes the optimiser's step along the gradients that are there."""
        factor = rate_factor(self.numbers, self.step_number)
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_rate"] * factor
        encoding = self.field.encoding
        if self.numbers.variation and isinstance(encoding, DenseGrid):
            for level in encoding.parameters():
                add_total_variation_gradient(level, self.numbers.variation)
        self.optimizer.step()

    def _make_room(self) -> bool:
        """Lets graphs go, and halves the rays rendered at a time; False where that is no way out any more."""
        stage = stage_at(self.numbers, self.step_number)
        every = stage.views * stage.size**2
        smaller = min(self.chunk or every, every) // 2
        if smaller < SMALLEST_CHUNK:
            return False
        self.chunk = smaller
        self.optimizer.zero_grad()
        self.guidance.model.release_graphs()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        log.warning("Memory ran out; going on with %d rays at a time.", smaller)
        return True

    def _orientation_weight(self) -> float:
        return orientation_weight(self.numbers, self.step_number)

    def _noise_range(self) -> tuple[int, int]:
        numbers = self.numbers
        until = max(1, round(numbers.steps * numbers.anneal_until))
        ends = numbers.noise_start, numbers.noise_low, numbers.noise_high
        return anneal(self.step_number, until, *ends, len(self.guidance.model.schedule))

    def _generator(self, purpose: str = "") -> torch.Generator:
        return torch.Generator(self.device).manual_seed(self._step_seed(purpose))

    def _dice(self) -> random.Random:
        """For choices the CPU must know: drawing them on a GPU would make it wait."""
        return random.Random(self._step_seed())

    def _step_seed(self, purpose: str = "") -> int:
        # Mixed into 32 bits: the CPU's generator ignores the rest of a seed.
        digest = hashlib.sha256(f"{self.seed}/{self.step_number}/{purpose}".encode()).digest()
        return int.from_bytes(digest[:4], "little")

    def _modules(self) -> dict[str, nn.Module]:
        return {"field": self.field, "occupancy": self.occupancy, "background": self.background}
