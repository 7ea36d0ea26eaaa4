# SPDX-License-Identifier: GPL-3.0-or-later
"""MVDream as one object: UNet, autoencoder, text encoder and noise schedule."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeVar

import torch
from torch import Tensor, nn

from backend.diffusion.attention import CAMERA_NUMBERS, make_multi_view
from backend.diffusion.config import ModelConfig
from backend.diffusion.fast.graphs import Graphed
from backend.diffusion.fast.twins import halves_alike
from backend.diffusion.schedule import NoiseSchedule
from backend.diffusion.text import TextEncoder
from backend.kernel_switch import kernels_allowed

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

Part = TypeVar("Part")

LOG_VARIANCES = (-30.0, 20.0)
"""Limits of the posterior's, as diffusers has them."""


class MultiViewDiffusion:
    """A multi-view latent diffusion model (MVDream, section 3).

    Batches are (object, view) with the views of one object neighbours. A part that was not loaded is None,
    and using it raises ValueError. Inputs may have any float type; they are cast to the model's, and results
    come back as float32, so that the arithmetic around the networks does not suffer from half precision.
    """

    def __init__(
        self,
        config: ModelConfig,
        unet: UNet2DConditionModel | None = None,
        vae: AutoencoderKL | None = None,
        text: TextEncoder | None = None,
        tiny_vae: AutoencoderTiny | None = None,
    ) -> None:
        self.config = config
        self.unet = None if unet is None else make_multi_view(unet)
        self.vae = vae
        self.text = text
        self.tiny_vae = tiny_vae
        self.schedule = NoiseSchedule(config.schedule, self.device)
        self._graphs: dict[str, Graphed] = {}

    @property
    def parts(self) -> dict[str, nn.Module]:
        """The loaded networks by name: "unet", "vae", "text", "tiny_vae"."""
        found = {"unet": self.unet, "vae": self.vae, "text": self.text, "tiny_vae": self.tiny_vae}
        return {name: part for name, part in found.items() if part is not None}

    @property
    def device(self) -> torch.device:
        """Where the parts are; the CPU when there are none."""
        return next((next(part.parameters()).device for part in self.parts.values()), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """Floating point type of the parts; of the VAE where the UNet has another."""
        parts = sorted(self.parts.items(), key=lambda named: named[0] == "unet")
        return next((_type_of(part) for _, part in parts), torch.float32)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(C, h, w) of the latents of one image of `config.image_size`."""
        config: Any = self._need("vae", self.vae).config
        side = self.config.image_size // 2 ** (len(config.block_out_channels) - 1)
        return config.latent_channels, side, side

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        """Move and cast every part, in place. The schedule stays float32."""
        for part in self.parts.values():
            part.to(device=device, dtype=dtype)
        self.schedule = self.schedule.to(self.device)
        self.release_graphs()
        return self

    def freeze(self) -> Self:
        """Evaluation mode, and no gradients for the weights."""
        for part in self.parts.values():
            part.eval().requires_grad_(False)
        return self

    def accelerate(self, graphs: bool = True, compiled: Sequence[str] = ()) -> Self:
        """Makes frozen UNet and autoencoder fast, in place.

        For use, not for training. On CUDA: fused channels-last modules and CUDA graphs; where Triton does not
        work, and for networks that have no lean equal, graphs alone; with MVDREAM_KERNELS=off nothing of all
        that. On a processor the UNet alone is fused: once for both halves of guidance what they have in
        common, and no copies of maps. Elsewhere models are only frozen. graphs: False where calls are too few
        to be worth a capture. compiled: "unet", "vae" or both are left to torch.compile, on any device; then
        nothing is fused.
        """
        self.freeze()
        if compiled:
            from backend.diffusion.fast import networks

            for name in compiled:
                setattr(self, name, networks.compiled(name, self._need(name, getattr(self, name))))
        elif self.device.type == "cpu":
            self.fuse(("unet",))
        elif self.device.type == "cuda":
            from backend.diffusion.fast.trial import triton_works

            types = {_type_of(part) for part in self.parts.values()}
            if all(triton_works(self.device, dtype) for dtype in types):
                self.fuse()
        if graphs and self.device.type == "cuda" and torch.version.cuda and kernels_allowed():
            unet, vae = _weakly(self._run_unet), _weakly(self._run_vae)
            self._graphs = {"unet": Graphed("UNet", unet), "vae": Graphed("encoder", vae)}
            if self.tiny_vae is not None:
                self._graphs["tiny_vae"] = Graphed("small encoder", _weakly(self._run_tiny_vae))
        return self

    def fuse(self, names: Sequence[str] = ("unet", "vae", "tiny_vae")) -> Self:
        """Exchanges modules of frozen networks for fused channels-last ones, in place; on any device.

        Their weights have no gradients any more. A network without a lean equal only gets the layout.
        """
        from backend.diffusion.fast.networks import fused

        for name in names:
            if (network := getattr(self, name)) is not None:
                setattr(self, name, fused(name, network))
        return self

    def release_graphs(self) -> None:
        """Frees what CUDA graphs hold; the next calls capture new ones."""
        for graph in self._graphs.values():
            graph.release()

    def predict_noise(
        self,
        latents: Tensor,
        timesteps: Tensor,
        context: Tensor,
        camera: Tensor | None,
        views: int = 4,
        repeated: bool = False,
    ) -> Tensor:
        """The noise in noisy latents: eps_theta(x_t; y, c, t).

        latents: (B, C, h, w); timesteps: (B,) integers; context: (B, L, D), or fewer rows, each for as many
        neighbours as B has more; camera: (B, 16) conditioning rows, a row of zeros or None meaning that no
        camera embedding is added. views: how many neighbours of the batch self-attention joins; 1 is the
        plain 2D mode. repeated: the second half of latents, timesteps and camera is the first again, as in
        classifier-free guidance, so that not all need be computed twice. Returns (B, C, h, w) float32.
        Raises ValueError when B is not a multiple of `views` (twice that if repeated), or of the context's
        rows.
        """
        unet = self._need("unet", self.unet)
        batch = latents.shape[0]
        if batch % (2 * views if repeated else views):
            halves = "two halves of groups" if repeated else "groups"
            raise ValueError(f"a batch of {batch} is not made of {halves} of {views} views")
        if batch % context.shape[0]:
            raise ValueError(f"a batch of {batch} can't share {context.shape[0]} contexts evenly")
        if camera is None:
            camera = latents.new_zeros(batch, CAMERA_NUMBERS)
        dtype = _type_of(unet)
        run = self._graphs.get("unet", self._run_unet)
        # One layout whoever calls: graphs and compiled networks belong to the strides of what they are given.
        inputs = (
            latents.to(dtype).contiguous(),
            timesteps.contiguous(),
            context.to(dtype).contiguous(),
            camera.to(dtype).contiguous(),
        )
        return run(*inputs, key=(views, repeated)).float()

    def encode_images(
        self, images: Tensor, noise: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """Images to scaled latents, differentiable: z = s (mean + std noise), s the VAE's scaling factor.

        images: (B, H, W, 3) in 0..1; noise: (B, C, h, w) standard normal, else drawn from `generator`; with
        neither, the mean. Returns (B, C, h, w) float32.
        """
        vae = self._need("vae", self.vae)
        pixels = images.permute(0, 3, 1, 2).to(_type_of(vae)) * 2 - 1
        mean, log_variance = self._graphs.get("vae", self._run_vae)(pixels).float().chunk(2, 1)
        latents = mean
        if noise is None and generator is not None:
            noise = torch.randn(latents.shape, generator=generator, device=latents.device)
        if noise is not None:
            latents = latents + torch.exp(0.5 * log_variance.clamp(*LOG_VARIANCES)) * noise
        return latents * self._latent_scale

    def encode_images_tiny(self, images: Tensor) -> Tensor:
        """About what `encode_images` gives without noise, by the small encoder; differentiable.

        images: (B, H, W, 3) in 0..1. Returns (B, C, h, w) float32.
        """
        tiny = self._need("tiny_vae", self.tiny_vae)
        pixels = images.permute(0, 3, 1, 2).to(_type_of(tiny)) * 2 - 1
        # What it was taught are scaled latents already; its own factor is 1 unless its config.json differs.
        return self._graphs.get("tiny_vae", self._run_tiny_vae)(pixels).float() * tiny.scaling_factor

    def decode_latents(self, latents: Tensor) -> Tensor:
        """Scaled latents (B, C, h, w) to images (B, H, W, 3) float32, 0..1 but not clamped."""
        vae = self._need("vae", self.vae)
        self._need("vae decoder", vae.decoder)
        pixels = vae.decode((latents / self._latent_scale).to(_type_of(vae))).sample
        return (pixels.float() + 1).permute(0, 2, 3, 1) / 2

    def encode_prompts(self, prompts: Sequence[str]) -> Tensor:
        """Prompts to context (B, L, D), no gradients; "" is the unconditional prompt.

        Raises UserError for words the model does not know. An artist's own prompt must be checked for being
        empty where it is typed.
        """
        return self._need("text", self.text).encode(prompts)

    def drop_text_encoder(self) -> None:
        """Free the text encoder: once the prompts are encoded it is not needed any more."""
        self.text = None

    def drop_image_decoder(self) -> None:
        """Free the half of the autoencoder that makes images of latents."""
        if self.vae is not None:
            self.vae.decoder = self.vae.post_quant_conv = None  # type: ignore[assignment]

    def drop_tiny_encoder(self) -> None:
        """Free the small image encoder and its graph."""
        graph = self._graphs.pop("tiny_vae", None)
        if graph is not None:
            graph.release()
        self.tiny_vae = None

    def _run_unet(
        self, latents: Tensor, timesteps: Tensor, context: Tensor, camera: Tensor, key: tuple[int, bool]
    ) -> Tensor:
        """The bare network; key: views, and whether the second half repeats the first."""
        views, repeated = key
        unet = self._need("unet", self.unet)
        with halves_alike(unet, repeated):
            (eps,) = unet(
                latents,
                timesteps,
                encoder_hidden_states=context,
                class_labels=camera,
                cross_attention_kwargs={"views": views},
                return_dict=False,
            )
        return eps

    def _run_vae(self, pixels: Tensor, key: None = None) -> Tensor:
        """The bare encoder: (B, 3, H, W) in -1..1 to mean and logarithm of the variance, (B, 2 C, h, w)."""
        return self._need("vae", self.vae).encode(pixels).latent_dist.parameters

    def _run_tiny_vae(self, pixels: Tensor, key: None = None) -> Tensor:
        """The bare small encoder: (B, 3, H, W) in -1..1 to (B, C, h, w)."""
        return self._need("tiny_vae", self.tiny_vae).encode(pixels, return_dict=False)[0]

    @property
    def _latent_scale(self) -> float:
        config: Any = self._need("vae", self.vae).config
        return config.scaling_factor

    @staticmethod
    def _need(name: str, part: Part | None) -> Part:
        if part is None:
            raise ValueError(f"this model was loaded without its {name}")
        return part


def _weakly(method: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The same method, not keeping its object: a model that its own graphs hold would be freed late."""
    method_of = weakref.WeakMethod(method)

    def call(*inputs: Tensor, key: Any = None) -> Tensor:
        found = method_of()
        assert found is not None, "the model is gone"
        return found(*inputs, key=key)

    return call


def _type_of(part: nn.Module) -> torch.dtype:
    return next(part.parameters()).dtype
