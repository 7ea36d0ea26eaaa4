# SPDX-License-Identifier: GPL-3.0-or-later
"""Trains the multi-view UNet and the text encoder together (MVDream, section 3.2)."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from backend.diffusion.model import MultiViewDiffusion
from backend.training.backgrounds import composite
from backend.training.datasets import MultiViewDataset
from backend.training.descriptions import VIEWS
from backend.training.latents import LatentCache
from backend.training.task import Task, compile_module

JOINED, SINGLE = "joined", "single"
_VALIDATION_SETS = 128
_VALIDATION_TIMES = (0.125, 0.375, 0.625, 0.875)


@dataclass(frozen=True)
class MultiViewOptions:
    """How to train the UNet.

    Args:
        batch: sets a step; a step has 4 times as many images.
        joined: share of steps with joined views and cameras; the others see single views without camera.
        text_dropout: share of captions replaced by the empty prompt.
        min_snr: gamma of min-SNR weighting (Hang et al. 2023), 0 for none.
        backgrounds: random backgrounds kept a set.
        refresh_every: steps between re-encodings of a chunk over new backgrounds.
        seed: of everything random.
    """

    batch: int = 128
    joined: float = 0.7
    text_dropout: float = 0.1
    min_snr: float = 5.0
    backgrounds: int = 4
    refresh_every: int = 25
    seed: int = 0


class MultiViewTask(Task):
    """Noise prediction on cached latents.

    Args:
        model: all three parts on the device in float32; UNet and text encoder are trained in place.
        dataset: training sets, images on the device.
        held: sets to validate on.
        options: see there.

    Raises:
        UserError: a caption has a word that the model's tokenizer does not know.
    """

    def __init__(
        self,
        model: MultiViewDiffusion,
        dataset: MultiViewDataset,
        held: MultiViewDataset,
        options: MultiViewOptions,
    ) -> None:
        assert model.unet is not None
        assert model.text is not None
        assert model.vae is not None
        self.model, self.options, self.device = model, options, model.device
        model.vae.eval().requires_grad_(False)
        self.average = MultiViewDiffusion(
            model.config, copy.deepcopy(model.unet).eval(), model.vae, copy.deepcopy(model.text).eval()
        )
        self.unet, self.text = (
            model.unet.train().requires_grad_(True),
            model.text.train().requires_grad_(True),
        )
        assert self.average.unet is not None
        assert self.average.text is not None
        self.trained = {"unet": self.unet, "text": self.text}
        self.averaged = {"unet": self.average.unet, "text": self.average.text}
        self.variants = tuple({self.variant(step): None for step in range(100)})
        self._cameras = dataset.cameras.to(self.device)
        self._captions = _tokens(model, dataset)
        self._empty = self.text.tokenize([""])
        self._ratio = self._signal_to_noise()
        self._cache = LatentCache(
            self._encode, dataset, options.backgrounds, options.seed, options.refresh_every
        )
        self._validation = _Validation(self.average, held, self._encode, options.seed)

    def variant(self, step: int) -> str:
        """Spreads the joined steps evenly."""
        share = self.options.joined
        return JOINED if int((step + 1) * share + 1e-9) > int(step * share + 1e-9) else SINGLE

    def prepare(self, step: int) -> None:
        """Keeps the cached latents changing."""
        self._cache.bring_up_to(step)

    def loss(self, variant: str) -> Tensor:
        """Mean of w_t |eps - eps_theta(x_t; y, c, t)|^2; t uniform, one a set (or single image)."""
        latents, ids, camera, views = self._joined_batch() if variant == JOINED else self._single_batch()
        objects = len(ids)
        dropped = torch.rand(objects, 1, device=self.device) < self.options.text_dropout
        ids = torch.where(dropped, self._empty, ids)
        noise = torch.randn_like(latents)
        t = torch.randint(len(self.model.schedule), (objects,), device=self.device).repeat_interleave(views)
        noisy = self.model.schedule.add_noise(latents, noise, t)
        with self.autocast():
            context = self.text(ids).repeat_interleave(views, dim=0)
            predicted = self.model.predict_noise(noisy, t, context, camera, views)
        error = (predicted.float() - noise).square().mean((1, 2, 3))
        return (error * self._weight(t)).mean()

    def compile(self, enabled: bool) -> None:
        """Compiles the UNet; the text encoder is too small to matter once the step is a graph."""
        compile_module(self.unet, enabled)

    def validate(self) -> dict[str, float]:
        """Mean squared error of the noise at four times, averaged weights, joined held-back sets."""
        return self._validation.measure()

    def _joined_batch(self) -> tuple[Tensor, Tensor, Tensor, int]:
        backgrounds, sets = self._cache.latents.shape[:2]
        background = torch.randint(backgrounds, (self.options.batch,), device=self.device)
        chosen = torch.randint(sets, (self.options.batch,), device=self.device)
        latents = self._cache.latents[background, chosen].flatten(0, 1).float()
        return latents, self._captions[chosen], self._cameras[chosen].flatten(0, 1), VIEWS

    def _single_batch(self) -> tuple[Tensor, Tensor, Tensor, int]:
        images = self.options.batch * VIEWS
        backgrounds, sets = self._cache.latents.shape[:2]
        background = torch.randint(backgrounds, (images,), device=self.device)
        chosen = torch.randint(sets, (images,), device=self.device)
        view = torch.randint(VIEWS, (images,), device=self.device)
        latents = self._cache.latents[background, chosen, view].float()
        return latents, self._captions[chosen], latents.new_zeros(images, 16), 1

    def _weight(self, t: Tensor) -> Tensor:
        """min(SNR_t, gamma) / SNR_t. Without it small t take the capacity, but large t decide shapes."""
        if not self.options.min_snr:
            return torch.ones_like(t, dtype=torch.float32)
        return (self.options.min_snr / self._ratio[t]).clamp(max=1.0)

    def _signal_to_noise(self) -> Tensor:
        signal = self.model.schedule.alphas_cumprod
        return signal / (1 - signal)

    @torch.no_grad()
    def _encode(self, images: Tensor) -> Tensor:
        with self.autocast():
            return self.model.encode_images(images)


class _Validation:
    """The same held-back latents, backgrounds, noise and times at every call."""

    def __init__(self, model: MultiViewDiffusion, held: MultiViewDataset, encode: object, seed: int) -> None:
        assert callable(encode)
        self._model, device = model, model.device
        generator = torch.Generator(device).manual_seed(seed + 1)
        held = held.slice(0, _VALIDATION_SETS)
        colours = torch.rand(len(held), 3, device=device, generator=generator).repeat_interleave(VIEWS, dim=0)
        self._latents = encode(composite(held.images.to(device).flatten(0, 1), colours)).float()
        self._noise = torch.randn(self._latents.shape, device=device, generator=generator)
        self._camera = held.cameras.to(device).flatten(0, 1)
        self._ids = _tokens(model, held)

    @torch.no_grad()
    def measure(self) -> dict[str, float]:
        model, schedule = self._model, self._model.schedule
        assert model.text is not None
        context = model.text(self._ids).repeat_interleave(VIEWS, dim=0)
        figures = {}
        for share in _VALIDATION_TIMES:
            t = torch.full((len(context),), int(share * len(schedule)), device=model.device)
            noisy = schedule.add_noise(self._latents, self._noise, t)
            error = model.predict_noise(noisy, t, context, self._camera, VIEWS) - self._noise
            figures[f"noise_error_t{int(share * len(schedule))}"] = float(error.square().mean())
        return {"noise_error": sum(figures.values()) / len(figures), **figures}


def _tokens(model: MultiViewDiffusion, dataset: MultiViewDataset) -> Tensor:
    """Token ids (S, L) of the captions; each different caption is tokenised once."""
    assert model.text is not None
    different = sorted(set(dataset.captions))
    number = {caption: index for index, caption in enumerate(different)}
    chosen = torch.tensor([number[caption] for caption in dataset.captions], device=model.device)
    return model.text.tokenize(different)[chosen]
