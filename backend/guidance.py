# SPDX-License-Identifier: GPL-3.0-or-later
"""Score distillation: how a model that only ever saw pictures tells a 3D object which way to change.

MVDream, section 3.2; DreamFusion (Poole et al. 2022) for plain SDS; Lin et al. 2023 for CFG rescale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from backend.cameras import conditioning
from backend.diffusion.model import MultiViewDiffusion

Mode = Literal["x0", "sds"]


@dataclass(frozen=True)
class Guidance:
    """What one step of score distillation says. Nothing here has left the device."""

    loss: Tensor
    """(), differentiable down to the images."""
    latents: Tensor
    """(B, C, h, w): the encoded images, part of the graph."""
    target: Tensor
    """(B, C, h, w): where the latents should be. In "x0" mode this is the guided, rescaled x0 estimate."""

    @property
    def gradient(self) -> Tensor:
        """d loss / d latents, (B, C, h, w), no graph."""
        return (self.latents.detach() - self.target) / self.latents.shape[0]


class ScoreDistillation:
    """Guidance of one prompt for any number of objects with `model.config.views` views each.

    context, negative_context: (1, L, D) encoded prompts. guidance_scale: w of classifier-free guidance,
    eps = eps_neg + w (eps_text - eps_neg). rescale: 0 (off) to 1, the share of x0 that is brought back to the
    spread of the unguided x0, which keeps colours from saturating. mode: "x0" is the paper's reconstruction
    loss, "sds" the gradient of DreamFusion. Raises ValueError for an unknown mode or misshapen contexts.
    """

    def __init__(
        self,
        model: MultiViewDiffusion,
        context: Tensor,
        negative_context: Tensor,
        guidance_scale: float,
        rescale: float = 0.5,
        mode: Mode = "x0",
    ) -> None:
        if mode not in ("x0", "sds"):
            raise ValueError(f"unknown mode {mode!r}")
        if context.ndim != 3 or context.shape[0] != 1 or context.shape != negative_context.shape:
            raise ValueError(f"contexts must both be (1, L, D): {context.shape}, {negative_context.shape}")
        self.model = model
        self.context = context.detach()
        self.negative_context = negative_context.detach()
        self.guidance_scale = guidance_scale
        self.rescale = rescale
        self.mode = mode

    def __call__(
        self,
        images: Tensor,
        c2w: Tensor,
        t: Tensor | int,
        noise: Tensor | None = None,
        vae_noise: Tensor | None = None,
        generator: torch.Generator | None = None,
        tiny: bool = False,
    ) -> Guidance:
        """One step of guidance for rendered images.

        images: (B, H, W, 3) in 0..1, of any size, views of an object neighbours; c2w: (B, 4, 4) in world
        units (only read); t: one integer step for the whole batch, () or (1,). noise, vae_noise:
        (B, C, h, w) standard normal, else drawn with `generator` (on the images' device), vae_noise first.
        tiny: whether the small image encoder reads the images; it has no use for vae_noise.
        Raises ValueError when B is not a multiple of the model's views.
        """
        latents = self.encode(images, vae_noise, generator, tiny)
        if noise is None:
            noise = _normal_like(latents, generator)
        steps = torch.as_tensor(t, device=latents.device).reshape(1).expand(latents.shape[0])
        with torch.no_grad():
            noisy = self.model.schedule.add_noise(latents.detach(), noise, steps)
            eps_text, eps = self.guided_noise(noisy, steps, c2w)
            if self.mode == "x0":
                target = self._start(noisy, eps_text, eps, steps)
            else:
                weight = self.model.schedule.one_minus_alpha_bar(steps, latents)
                target = latents - torch.nan_to_num(weight * (eps - noise))
        # Half the squared distance: its gradient is latents - target, so for SDS exactly w(t) (eps - noise).
        loss = 0.5 * (latents - target).square().sum() / latents.shape[0]
        return Guidance(loss, latents, target)

    def encode(
        self,
        images: Tensor,
        vae_noise: Tensor | None = None,
        generator: torch.Generator | None = None,
        tiny: bool = False,
    ) -> Tensor:
        """Images (B, H, W, 3), resized to what the model was trained on, as latents (B, C, h, w).

        They are sampled, or with `tiny` those of the small encoder.
        """
        side = self.model.config.image_size
        if tuple(images.shape[1:3]) != (side, side):
            pixels = images.permute(0, 3, 1, 2)
            pixels = F.interpolate(pixels, (side, side), mode="bilinear", align_corners=False)
            images = pixels.permute(0, 2, 3, 1)
        if vae_noise is None:
            channels, height, width = self.model.latent_shape
            vae_noise = torch.randn(
                (images.shape[0], channels, height, width), generator=generator, device=images.device
            )
        if tiny:
            # Drawn all the same: whatever is random after it stays what it is without the small encoder.
            return self.model.encode_images_tiny(images)
        return self.model.encode_images(images, noise=vae_noise)

    def guided_noise(self, noisy: Tensor, steps: Tensor, c2w: Tensor) -> tuple[Tensor, Tensor]:
        """(eps for the prompt, eps after classifier-free guidance), both (B, C, h, w), from one UNet pass."""
        camera = conditioning(c2w)
        both = self.model.predict_noise(
            torch.cat([noisy, noisy]),
            torch.cat([steps, steps]),
            torch.cat([self.context, self.negative_context]),
            torch.cat([camera, camera]),
            views=self.model.config.views,
            repeated=True,
        )
        eps_text, eps_negative = both.chunk(2)
        return eps_text, eps_negative + self.guidance_scale * (eps_text - eps_negative)

    def _start(self, noisy: Tensor, eps_text: Tensor, eps: Tensor, steps: Tensor) -> Tensor:
        """The x0 the model believes in (MVDream, equation 3), its contrast partly restored."""
        guided = self.model.schedule.predict_start(noisy, eps, steps)
        if self.rescale == 0:
            return guided
        plain = self.model.schedule.predict_start(noisy, eps_text, steps)
        return rescale_start(guided, plain, self.rescale, self.model.config.views)


def rescale_start(guided: Tensor, plain: Tensor, share: float, views: int) -> Tensor:
    """CFG rescale: x0 <- share (std(plain) / std(guided)) x0 + (1 - share) x0.

    guided, plain: (B, C, h, w), x0 with and without guidance; the standard deviation of each object is over
    its views, channels and pixels together (Lin et al. 2023, equations 15 and 16, on x0).
    """
    per_object = (-1, views * guided[0].numel())
    wanted = plain.reshape(per_object).std(dim=1) + 1e-8
    factor = wanted / (guided.reshape(per_object).std(dim=1) + 1e-8)
    factor = (share * factor + (1 - share)).repeat_interleave(views, output_size=guided.shape[0])
    return factor[:, None, None, None] * guided


def anneal(
    step: int,
    steps: int = 8000,
    start: float = 0.98,
    low_end: float = 0.02,
    high_end: float = 0.5,
    schedule_steps: int = 1000,
) -> tuple[int, int]:
    """Lowest and highest noise step to draw from, both inclusive, at optimisation step `step`.

    Both bounds begin at `start` (a share of `schedule_steps`) and move linearly to `low_end` and `high_end`
    over `steps` steps, then stay. Shares are truncated to whole noise steps, as the paper's code does; 1 is
    the last of the `schedule_steps`.
    """
    progress = max(min(1.0, step / steps), 0.0)
    low, high = (start + (end - start) * progress for end in (low_end, high_end))
    last = schedule_steps - 1
    return min(last, int(schedule_steps * low)), min(last, int(schedule_steps * high))


def draw_step(
    bounds: tuple[int, int], generator: torch.Generator | None = None, device: torch.device | str = "cpu"
) -> Tensor:
    """One noise step (1,), uniform in `bounds` inclusive, for a whole batch. Stays on the device."""
    low, high = bounds
    return torch.randint(low, high + 1, (1,), generator=generator, device=device)


def _normal_like(latents: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.randn(latents.shape, generator=generator, device=latents.device)
