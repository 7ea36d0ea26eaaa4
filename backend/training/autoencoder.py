# SPDX-License-Identifier: GPL-3.0-or-later
"""Trains the autoencoder on renders over random backgrounds."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from backend.training.backgrounds import composite, random_colours
from backend.training.datasets import MultiViewDataset
from backend.training.task import Task, compile_module

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

FOREGROUND = 3.0  # weight of the object's pixels; the background's are 1
_SQUARED, _GRADIENT = 5.0, 0.5
_VALIDATION_IMAGES = 512
_VALIDATION_BATCH = 64


@dataclass(frozen=True)
class AutoencoderOptions:
    """batch: images a step. kl: weight of the divergence from N(0, 1), averaged over the latent numbers."""

    batch: int = 256
    kl: float = 1e-5
    seed: int = 0


class AutoencoderTask(Task):
    """L1 + L2 + gradient differences, the object weighted 3 times, and a whiff of KL.

    Args:
        vae: trained in place; on the device.
        dataset: images on the same device.
        held: images to validate on, same device.
        options: see there.
    """

    def __init__(
        self,
        vae: AutoencoderKL,
        dataset: MultiViewDataset,
        held: MultiViewDataset,
        options: AutoencoderOptions,
    ) -> None:
        self.vae, self.options = vae.train().requires_grad_(True), options
        # An autoencoder may be configured without these two 1 x 1 convolutions.
        self._before = vae.quant_conv or nn.Identity()
        self._after = vae.post_quant_conv or nn.Identity()
        self.average = copy.deepcopy(vae).eval()
        self.trained, self.averaged = {"vae": self.vae}, {"vae": self.average}
        self.images = dataset.images.flatten(0, 1)
        self.device = self.images.device
        step = max(1, held.images.shape[0] * held.images.shape[1] // _VALIDATION_IMAGES)
        self._held = held.images.flatten(0, 1)[::step][:_VALIDATION_IMAGES]

    def loss(self, variant: str) -> Tensor:
        """A random batch over random backgrounds; see `reconstruction_loss` and `divergence`."""
        chosen = torch.randint(len(self.images), (self.options.batch,), device=self.device)
        rgba = self.images[chosen]
        pixels = _to_network(composite(rgba, random_colours(self.options.batch, self.device)))
        with self.autocast():
            # Called as modules, not through vae.encode: only modules carry their compiled forward.
            mean, log_variance = self._before(self.vae.encoder(pixels)).float().chunk(2, dim=1)
            log_variance = log_variance.clamp(-30.0, 20.0)
            latents = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
            output = self.vae.decoder(self._after(latents))
        weight = 1 + (FOREGROUND - 1) * rgba[..., 3].unsqueeze(1) / 255
        loss = reconstruction_loss(output.float(), pixels, weight)
        return loss + self.options.kl * divergence(mean, log_variance)

    def compile(self, enabled: bool) -> None:
        """Compiles encoder and decoder."""
        compile_module(self.vae.encoder, enabled)
        compile_module(self.vae.decoder, enabled)

    def validate(self) -> dict[str, float]:
        """See `reconstruction_quality`, of the averaged weights over held-back images."""
        return reconstruction_quality(self.average, self._held, self.options.seed)


def reconstruction_loss(output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """mean w (|d| + 5 d^2) + 0.5 (mean w |d_x| + mean w |d_y|), with d = output - target.

    output, target: (B, 3, H, W) in -1..1; weight: (B, 1, H, W). d_x and d_y are differences of neighbours
    in d: they keep edges sharp.
    """
    difference = output - target
    pixelwise = (weight * (difference.abs() + _SQUARED * difference.square())).mean()
    across = (weight[..., 1:] * (difference[..., 1:] - difference[..., :-1]).abs()).mean()
    down = (weight[..., 1:, :] * (difference[..., 1:, :] - difference[..., :-1, :]).abs()).mean()
    return pixelwise + _GRADIENT * (across + down)


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, 1)), averaged over all latent numbers."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()


@torch.no_grad()
def reconstruction_quality(vae: AutoencoderKL, rgba: Tensor, seed: int) -> dict[str, float]:
    """PSNR in dB of reconstructions (from the mean, clamped to 0..1) over random backgrounds.

    rgba: (N, H, W, 4) uint8. Returns {"psnr": all pixels, "psnr_foreground": pixels with alpha over 1/2}.
    """
    generator = torch.Generator(rgba.device).manual_seed(seed)
    squared, foreground_squared, foreground = (torch.zeros((), device=rgba.device) for _ in range(3))
    for batch in rgba.split(_VALIDATION_BATCH):
        images = composite(batch, random_colours(len(batch), rgba.device, generator))
        output = vae.decode(vae.encode(_to_network(images)).latent_dist.mean).sample
        restored = ((output.permute(0, 2, 3, 1) + 1) / 2).clamp(0, 1)
        error = (restored - images).square().mean(-1)
        mask = batch[..., 3] > 127
        squared += error.sum()
        foreground_squared += (error * mask).sum()
        foreground += mask.sum()
    pixels = rgba[..., 0].numel()
    return {
        "psnr": _decibel(float(squared) / pixels),
        "psnr_foreground": _decibel(float(foreground_squared) / max(float(foreground), 1.0)),
    }


@torch.no_grad()
def latent_statistics(vae: AutoencoderKL, rgba: Tensor, seed: int, count: int = 4096) -> tuple[float, float]:
    """Mean and standard deviation of the unscaled latents of a random sample over random backgrounds."""
    generator = torch.Generator(rgba.device).manual_seed(seed)
    chosen = torch.randint(len(rgba), (min(count, len(rgba)),), device=rgba.device, generator=generator)
    latents = []
    for part in chosen.split(_VALIDATION_BATCH):
        images = composite(rgba[part], random_colours(len(part), rgba.device, generator))
        latents.append(vae.encode(_to_network(images)).latent_dist.mean)
    everything = torch.cat(latents)
    return float(everything.mean()), float(everything.std())


def _to_network(images: Tensor) -> Tensor:
    """(B, H, W, 3) in 0..1 -> (B, 3, H, W) in -1..1."""
    return images.permute(0, 3, 1, 2) * 2 - 1


def _decibel(mean_squared_error: float) -> float:
    return -10 * math.log10(max(mean_squared_error, 1e-10))
