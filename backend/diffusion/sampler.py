# SPDX-License-Identifier: GPL-3.0-or-later
"""From noise to the views of objects: deterministic solvers with classifier-free guidance.

The solvers are diffusers' own; here is what MVDream adds, and what keeps the loop on the device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from backend.diffusion.model import MultiViewDiffusion
from backend.diffusion.schedule import NoiseSchedule
from backend.guidance import rescale_start

Solver = Literal["dpm++", "ddim"]
SOLVERS: tuple[Solver, ...] = get_args(Solver)
DECODED_AT_ONCE = 16


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
    ) -> Tensor:
        """Latents (B, C, h, w) float32 of the views of one or more objects.

        noise: (B, C, h, w) standard normal, views of an object neighbours; context, negative_context:
        (B, L, D); camera: (B, 16) conditioning. on_step(done, steps) is called after each step and may raise
        to end it; nothing else waits for the device.
        """
        views = model.config.views
        scheduler = make_scheduler(self.solver, model.schedule, self.steps)
        both_contexts, both_cameras = torch.cat([context, negative_context]), torch.cat([camera, camera])
        # The scheduler's own tables are on the CPU: it gets plain numbers, the network a tensor.
        times = scheduler.timesteps.tolist()
        on_device = torch.tensor(times, device=noise.device)
        latents = noise.float()
        for done, time in enumerate(times, start=1):
            t = on_device[done - 1].expand(len(both_cameras))
            both = model.predict_noise(torch.cat([latents, latents]), t, both_contexts, both_cameras, views)
            start = self._start(model.schedule, latents, both, t, views)
            latents = scheduler.step(start, time, latents, return_dict=False)[0]
            on_step(done, len(times))
        return latents

    def _start(self, schedule: NoiseSchedule, latents: Tensor, both: Tensor, t: Tensor, views: int) -> Tensor:
        """The guided x0, its contrast partly restored (Lin et al. 2023, on x0 as MVDream does)."""
        eps_text, eps_negative = both.chunk(2)
        t = t[: len(latents)]
        eps = eps_negative + self.guidance_scale * (eps_text - eps_negative)
        guided = schedule.predict_start(latents, eps, t)
        if self.rescale == 0:
            return guided
        return rescale_start(guided, schedule.predict_start(latents, eps_text, t), self.rescale, views)


def make_scheduler(solver: Solver, schedule: NoiseSchedule, steps: int) -> Any:
    """diffusers' scheduler for `steps` steps of our schedule, fed with x0 and ending at x0.

    Steps are spaced from the last one down ("trailing"), so that the first pass sees what the noise is: all
    noise. Raises ValueError for an unknown solver or an impossible number of steps.
    """
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler
    from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler

    if solver not in SOLVERS or not 1 <= steps <= len(schedule):
        raise ValueError(f"no solver {solver!r} with {steps} of {len(schedule)} steps")
    config = schedule.config
    common: dict[str, Any] = {
        "num_train_timesteps": config.steps,
        "beta_start": config.linear_start,
        "beta_end": config.linear_end,
        "beta_schedule": "scaled_linear",
        "prediction_type": "sample",
        "timestep_spacing": "trailing",
    }
    scheduler: Any
    if solver == "ddim":
        scheduler = DDIMScheduler(**common, clip_sample=False, set_alpha_to_one=True)
    else:
        scheduler = DPMSolverMultistepScheduler(**common, solver_order=2, final_sigmas_type="zero")
    # Our tables are products in float64, as the original's; diffusers' are products in float32.
    scheduler.alphas_cumprod = schedule.alphas_cumprod.cpu()
    scheduler.set_timesteps(steps)
    if solver == "dpm++":
        scheduler.set_begin_index(0)  # else it would look its place up with a tensor
    return scheduler


def draw_noise(model: MultiViewDiffusion, seed: int, objects: int = 1) -> Tensor:
    """Noise (objects * views, C, h, w) on the model's device; a seed means the same noise on every device."""
    shape = (objects * model.config.views, *model.latent_shape)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(model.device)


@torch.no_grad()
def decode(model: MultiViewDiffusion, latents: Tensor) -> Tensor:
    """Latents (B, C, h, w) as images (B, H, W, 3) in 0..1, a few at a time."""
    parts = [model.decode_latents(part) for part in latents.split(DECODED_AT_ONCE)]
    return torch.cat(parts).clamp(0, 1)
