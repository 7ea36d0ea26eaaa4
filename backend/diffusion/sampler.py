# SPDX-License-Identifier: GPL-3.0-or-later
"""From noise to the views of objects: deterministic solvers with classifier-free guidance.

The solvers are in `multistep`; here is what MVDream adds, and what keeps the loop on the device.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from backend.diffusion.model import MultiViewDiffusion
from backend.diffusion.multistep import Solver, make_solver
from backend.guidance import rescale_start

DECODED_AT_ONCE = 16
BACKGROUND_SHARE = 0.2
"""Of the steps: those in which the background is held. What is nearer the end draws edges and surfaces."""
RIM = 8
"""A picture's outermost eighth, where the background is."""


@dataclass(frozen=True)
class Sampler:
    """How noise becomes latents.

    Args:
        steps: passes through the UNet, 1 to the length of the model's schedule.
        guidance_scale: of classifier-free guidance; 1 is none.
        rescale: share 0..1 of the CFG rescale, which keeps colours from saturating.
        solver: "dpm++" is DPM-Solver++(2M) (Lu et al. 2022), "ddim" Song et al. 2021 with eta = 0.
    """

    steps: int = 20
    guidance_scale: float = 7.5
    rescale: float = 0.0
    solver: Solver = "dpm++"

    @torch.no_grad()
    def __call__(
        self,
        model: MultiViewDiffusion,
        noise: Tensor,
        context: Tensor,
        negative_context: Tensor,
        camera: Tensor,
        on_step: Callable[[int, int], None] = lambda done, steps: None,
        background: Tensor | None = None,
    ) -> Tensor:
        """Latents (B, C, h, w) float32 of the views of one or more objects.

        noise: (B, C, h, w) standard normal, views of an object neighbours; context, negative_context:
        (B, L, D), or fewer rows, both as many, each for as many neighbours as B has more; camera: (B, 16).
        on_step(done, steps) is called after each step and may raise to end it; nothing else waits for the
        device. background: latent (1, C, 1, 1) of the plain colour that the objects shall stand before
        (`plain_latent`), to go with noise of `before_colour`; None: any.

        Raises ValueError for contexts of different shapes.
        """
        if context.shape != negative_context.shape:
            raise ValueError(f"contexts of {tuple(context.shape)} and {tuple(negative_context.shape)}")
        views = model.config.views
        solver = make_solver(self.solver, model.schedule, self.steps)
        both_contexts, both_cameras = torch.cat([context, negative_context]), torch.cat([camera, camera])
        # The solver's own tables are on the CPU: it gets plain numbers, the network a tensor.
        times = torch.tensor(solver.timesteps.tolist(), device=noise.device)
        latents = noise.float()
        # Never the last step: nothing would be left to make one picture of object and background.
        held = min(self.steps - 1, math.ceil(BACKGROUND_SHARE * self.steps)) if background is not None else 0
        for done, sigma in enumerate(solver.sigmas.tolist()[:-1]):
            t = times[done].expand(len(both_cameras))
            twice = torch.cat([latents, latents])
            both = model.predict_noise(twice, t, both_contexts, both_cameras, views, repeated=True)
            start = self._start(latents, both, sigma, views)
            if background is not None and done < held:
                start = _with_rim(start, background, views)
            latents = solver.step(start, latents)
            on_step(done + 1, len(times))
        return latents

    def _start(self, latents: Tensor, both: Tensor, sigma: float, views: int) -> Tensor:
        """The guided x0, its contrast partly restored (Lin et al. 2023, on x0 as MVDream does)."""
        eps_text, eps_negative = both.chunk(2)
        # x_0 = x_t / sqrt(alpha_bar) - sigma eps, sigma = sqrt(1 / alpha_bar - 1): the solvers' own times lie
        # between the steps of the schedule's tables.
        scaled = math.hypot(1.0, sigma) * latents
        guided = scaled - sigma * (eps_negative + self.guidance_scale * (eps_text - eps_negative))
        if self.rescale == 0:
            return guided
        return rescale_start(guided, scaled - sigma * eps_text, self.rescale, views)


def _with_rim(start: Tensor, background: Tensor, views: int) -> Tensor:
    """x0 with each object's views shifted by one constant, so that the mean of their rim is `background`.

    The object's colours move too; in the steps to come the prompt brings them back. Nobody says so of the
    background's, and it stays.
    """
    height, width = start.shape[-2:]
    top, side = max(1, height // RIM), max(1, width // RIM)
    rim = start.new_ones(height, width)
    rim[top : height - top, side : width - side] = 0
    objects = start.unflatten(0, (-1, views))
    mean = (objects * rim).sum(dim=(1, 3, 4), keepdim=True) / (views * rim.sum())
    return (objects + (background - mean)).flatten(0, 1)


def draw_noise(model: MultiViewDiffusion, seed: int, objects: int = 1) -> Tensor:
    """Noise (objects * views, C, h, w) on the model's device; a seed means the same noise on every device."""
    shape = (objects * model.config.views, *model.latent_shape)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(model.device)


@torch.no_grad()
def before_colour(model: MultiViewDiffusion, noise: Tensor, colour: tuple[float, float, float]) -> Tensor:
    """Noise (B, C, h, w) as it would be had it been added to plain pictures of `colour`, its values 0..1.

    The schedule leaves a little of a picture in the last step's noise, sqrt(alpha_bar_T) of it, and from the
    noise's mean the model reads which background there is: with plain noise one of any colour. Shapes stay
    mostly as they are. A prompt can be stronger: a sampler that is given the `background` too holds it.
    """
    views = model.config.views
    picture = plain_latent(model, colour)
    objects = noise.unflatten(0, (-1, views))
    centred = (objects - objects.mean(dim=(1, 3, 4), keepdim=True)).flatten(0, 1)
    last = torch.full((len(noise),), len(model.schedule) - 1, device=noise.device)
    return model.schedule.add_noise(picture, centred, last)


@torch.no_grad()
def plain_latent(model: MultiViewDiffusion, colour: tuple[float, float, float]) -> Tensor:
    """The mean latent (1, C, 1, 1) of a plain picture of `colour`, its values 0..1."""
    side = model.config.image_size
    plain = torch.tensor(colour, device=model.device).expand(1, side, side, 3).contiguous()
    return model.encode_images(plain).mean(dim=(2, 3), keepdim=True)


@torch.no_grad()
def decode(model: MultiViewDiffusion, latents: Tensor, at_once: int = DECODED_AT_ONCE) -> Tensor:
    """Latents (B, C, h, w) as images (B, H, W, 3) in 0..1, a few at a time."""
    parts = [model.decode_latents(part) for part in latents.split(at_once)]
    return torch.cat(parts).clamp(0, 1)
