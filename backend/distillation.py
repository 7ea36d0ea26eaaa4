# SPDX-License-Identifier: GPL-3.0-or-later
"""The optimisation: a radiance field that, seen from four sides at once, looks right to the model."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from backend.cameras import ViewRanges, rays, sample_views
from backend.checkpoint import read_checkpoint, write_checkpoint
from backend.diffusion.model import MultiViewDiffusion
from backend.guidance import ScoreDistillation, anneal, draw_step
from backend.radiance.backgrounds import RandomBackground
from backend.radiance.dense_grid import DenseGrid
from backend.radiance.field import DensityActivation, RadianceField
from backend.radiance.losses import add_total_variation_gradient, opacity_entropy, sparsity
from backend.radiance.occupancy import OccupancyGrid
from backend.radiance.rendering import Rendered, render
from backend.settings import Numbers


@dataclass(frozen=True)
class Recipe:
    """How the field is optimised; the defaults suit the small model and its few hundred steps.

    Args:
        grid_rate, network_rate: learning rates of the encoding and of the MLPs.
        epsilon: Adam's; far above its usual value, so that cells which hardly matter hardly move.
        warmup: steps until the full learning rate.
        decay_from: share of the steps after which the rate falls linearly to a tenth.
        anneal_until: share of the steps over which the noise range comes down (paper, section 4.2).
        occupancy_every: steps between two looks at which space is empty.
        sparsity, entropy, variation: weights of the losses of that name, where the guidance loss is a sum
            over one object's latents.
        entropy_from: share of the steps before rays are pushed to be solid or empty.
    """

    grid_rate: float = 0.02
    network_rate: float = 0.005
    epsilon: float = 1e-3
    warmup: int = 20
    decay_from: float = 0.7
    anneal_until: float = 0.8
    occupancy_every: int = 16
    sparsity: float = 3.0
    entropy: float = 3.0
    entropy_from: float = 0.5
    variation: float = 3000.0


class Distillation:
    """One object in the making.

    The random numbers of a step depend on the seed and the step alone, so a resumed run takes the same
    path as an uninterrupted one.

    Args:
        model: with UNet and image encoder; frozen.
        context, negative_context: (1, L, D) encoded prompts.
        numbers: resolved settings.
        seed: of everything random.
        recipe: how to optimise.
    """

    def __init__(
        self,
        model: MultiViewDiffusion,
        context: Tensor,
        negative_context: Tensor,
        numbers: Numbers,
        seed: int,
        recipe: Recipe | None = None,
    ) -> None:
        self.recipe = recipe or Recipe()
        self.numbers = numbers
        self.seed = seed
        self.step_number = 0
        self.device = model.device
        self.views = model.config.views
        ranges = model.config.view_ranges
        self.ranges = ViewRanges(ranges.fov, ranges.elevation, ranges.relative_distance)
        self.guidance = ScoreDistillation(
            model, context, negative_context, numbers.guidance_scale, numbers.guidance_rescale
        )
        start = torch.Generator().manual_seed(seed)
        self.field = RadianceField(
            DenseGrid(generator=start), model.config.bound, activation=_small_objects(), generator=start
        ).to(self.device)
        self.occupancy = OccupancyGrid(model.config.bound).to(self.device)
        self.background = RandomBackground(views_per_colour=self.views)
        grid = list(self.field.encoding.parameters())
        networks = [p for net in (self.field.density_net, self.field.colour_net) for p in net.parameters()]
        self.optimizer = torch.optim.Adam(
            [
                {"params": grid, "lr": self.recipe.grid_rate},
                {"params": networks, "lr": self.recipe.network_rate},
            ],
            betas=(0.9, 0.99),
            eps=self.recipe.epsilon,
            fused=True,
        )
        self._rates = [group["lr"] for group in self.optimizer.param_groups]

    @property
    def done(self) -> bool:
        """Whether all steps were taken."""
        return self.step_number >= self.numbers.steps

    def step(self) -> None:
        """Renders four orthogonal views (or several sets of them), asks the model, and moves the field."""
        generator = self._generator()
        if self.step_number % self.recipe.occupancy_every == 0:
            self.occupancy.update(self.field, generator)
        size = self.numbers.render_size
        views = sample_views(
            self.numbers.views_per_step // self.views, self.ranges, self.views, generator, self.device
        )
        origins, directions = rays(views.c2w, views.fov, size, size)
        behind = self.background(directions, generator)
        rendered = render(
            self.field,
            self.occupancy,
            origins.reshape(-1, 3),
            directions.reshape(-1, 3),
            behind.reshape(-1, 3),
            self.numbers.samples_per_ray,
            generator,
        )
        images = rendered.rgb.view(-1, size, size, 3)
        noise_step = draw_step(self._noise_range(), generator, self.device)
        guidance = self.guidance(images, views.c2w, noise_step, generator=generator)
        self._apply(guidance.loss + self._regularisers(rendered))
        self.step_number += 1

    def save(self, path: Path, identity: str) -> None:
        """Writes everything a later `resume` needs; `identity` names the job it belongs to."""
        write_checkpoint(path, self._modules(), self.optimizer, self.step_number, identity)

    def resume(self, path: Path, identity: str) -> bool:
        """Goes on from a checkpoint of the same job. False when there is none of it."""
        step = read_checkpoint(path, self._modules(), self.optimizer, identity)
        if step is not None:
            self.step_number = step
        return step is not None

    def _apply(self, loss: Tensor) -> None:
        factor = self._rate_factor()
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        for level in self.field.encoding.parameters():
            add_total_variation_gradient(level, self.recipe.variation)
        self.optimizer.step()

    def _regularisers(self, rendered: Rendered) -> Tensor:
        recipe = self.recipe
        loss = recipe.sparsity * sparsity(rendered.opacity)
        if recipe.entropy and self.step_number >= recipe.entropy_from * self.numbers.steps:
            loss = loss + recipe.entropy * opacity_entropy(rendered.opacity)
        return loss

    def _noise_range(self) -> tuple[int, int]:
        return anneal(self.step_number, max(1, round(self.numbers.steps * self.recipe.anneal_until)))

    def _rate_factor(self) -> float:
        recipe, steps = self.recipe, self.numbers.steps
        warm = min(1.0, (self.step_number + 1) / max(1, recipe.warmup))
        late = (self.step_number / steps - recipe.decay_from) / (1 - recipe.decay_from)
        return warm * (1 - 0.9 * max(0.0, late))

    def _generator(self) -> torch.Generator:
        # Mixed into 32 bits: the CPU's generator ignores the rest of a seed.
        digest = hashlib.sha256(f"{self.seed}/{self.step_number}".encode()).digest()
        return torch.Generator(self.device).manual_seed(int.from_bytes(digest[:4], "little"))

    def _modules(self) -> dict[str, nn.Module]:
        return {"field": self.field, "occupancy": self.occupancy}


def _small_objects() -> DensityActivation:
    # A multiplier of 40 instead of the paper's 1 makes surfaces hard within a few hundred steps.
    return DensityActivation(multiplier=40.0, blob_scale=10.0, blob_radius=0.35)
