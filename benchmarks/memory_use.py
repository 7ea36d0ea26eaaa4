# SPDX-License-Identifier: GPL-3.0-or-later
"""What a distillation step keeps in memory, part by part: where the constants in backend/memory come from.

    python benchmarks/memory_use.py [--device cuda] [--model small|sd21|sd15] [--dtype bf16]

Prints JSON lines. "saved" are the bytes that autograd keeps for the backward pass (unique storages, weights
left out), which do not depend on the device: `--device meta` counts them without computing anything. "peak"
is what the CUDA allocator held at most above what was there before.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import resource
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from backend.cameras import orbit_c2w, rays
from backend.diffusion.attention import make_multi_view
from backend.diffusion.config import ModelConfig
from backend.diffusion.model import MultiViewDiffusion
from backend.diffusion.storage import load
from backend.distillation import Distillation
from backend.memory.estimation import Surroundings, estimate
from backend.memory.facts import ModelFacts, decoder_elements, encoder_elements, unet_elements
from backend.memory.planning import kernels_on
from backend.radiance.dense_grid import DenseGrid
from backend.radiance.field import RadianceField
from backend.radiance.hash_grid import HashGrid
from backend.radiance.normals import surface
from backend.radiance.occupancy import OccupancyGrid
from backend.radiance.rendering import render
from backend.settings import PRESETS
from benchmarks.full_size import UNET, UNET_SD15, VAE

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
FULL_SIZE = {"sd21": UNET, "sd15": UNET_SD15}

RECIPES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("draft first", {}),
    ("paper first", {}),
    ("paper first", {"ray_chunk": 0}),
    ("paper second", {}),
    ("paper second", {"ray_chunk": 0}),
    ("paper second", {"ray_chunk": 4096}),
    ("paper-shaded first", {}),
    ("paper-shaded second", {}),
)


class Saved:
    """Counts the bytes that autograd saves while the block runs."""

    def __init__(self, weights: Iterable[Tensor] = ()) -> None:
        self._known = {tensor.untyped_storage()._cdata for tensor in weights}
        self._kept: dict[int, Any] = {}

    def __enter__(self) -> Saved:
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, lambda tensor: tensor)
        self._hooks.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._hooks.__exit__(*error)

    def _pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._known:
            self._kept[storage._cdata] = storage  # kept, so that its number is not given to another one
        return tensor

    @property
    def bytes(self) -> int:
        return sum(storage.nbytes() for storage in self._kept.values())


def peak(device: torch.device, work: Callable[[], Any]) -> int | None:
    """Bytes that `work` needed at most beyond what was allocated before it."""
    if device.type != "cuda":
        return None
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    result = work()
    torch.cuda.synchronize()
    del result
    return torch.cuda.max_memory_allocated() - before


def tell(what: str, **values: Any) -> None:
    sys.stdout.write(json.dumps({"what": what, **values}) + "\n")
    sys.stdout.flush()


def parts(name: str, device: torch.device, dtype: torch.dtype) -> tuple[nn.Module, nn.Module, int]:
    """UNet, image encoder and image size: the small model's, or one of full size with random weights."""
    if name == "small":
        model = load("small", device, dtype, parts=("unet", "vae_encoder"))
        assert model.unet is not None
        assert model.vae is not None
        return model.unet, model.vae, model.config.image_size
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    torch.set_default_dtype(dtype)
    with torch.device(device):
        unet = make_multi_view(UNet2DConditionModel(**FULL_SIZE[name]))
        vae = AutoencoderKL(**VAE)
    torch.set_default_dtype(torch.float32)
    vae.decoder = vae.post_quant_conv = None
    for part in (unet, vae):
        part.eval().requires_grad_(False)
    return unet, vae, 256


def measure_encoder(vae: Any, size: int, device: torch.device, dtype: torch.dtype) -> None:
    for batch in (4, 8):
        images = torch.rand(batch, 3, size, size, device=device, dtype=dtype, requires_grad=True)
        with Saved(vae.parameters()) as saved:
            latents = vae.encode(images).latent_dist.mean
        del latents
        forward = peak(device, lambda images=images: vae.encode(images).latent_dist.mean)
        both = peak(
            device, lambda images=images: vae.encode(images).latent_dist.mean.float().sum().backward()
        )
        tell("encoder", batch=batch, saved=saved.bytes, peak_forward=forward, peak=both)


def measure_unet(unet: Any, size: int, device: torch.device, dtype: torch.dtype) -> None:
    config = unet.config
    side, width = config.sample_size, config.cross_attention_dim
    for batch in (8, 16):

        @torch.no_grad()
        def work(batch: int = batch) -> Tensor:
            return unet(
                torch.randn(batch, 4, side, side, device=device, dtype=dtype),
                torch.full((batch,), 500, device=device),
                encoder_hidden_states=torch.randn(batch, 77, width, device=device, dtype=dtype),
                class_labels=torch.randn(batch, 16, device=device, dtype=dtype),
                cross_attention_kwargs={"views": 4},
                return_dict=False,
            )[0]

        if device.type == "cuda":
            work()  # cuBLAS and cuDNN take their workspaces once
            tell("unet", batch=batch, latent=side, peak=peak(device, work))


def measure_field(device: torch.device) -> None:
    c2w = orbit_c2w(torch.tensor([0.0, 90.0, 180.0, 270.0]), torch.full((4,), 15.0), torch.full((4,), 2.2))
    makers = {
        "dense": lambda: RadianceField(DenseGrid()),
        "hash": lambda: RadianceField(HashGrid(), hidden=64),
    }
    for name, make in makers.items():
        field = make().to(device)
        occupancy = OccupancyGrid().to(device)
        tell(
            "update", encoding=name, cells=48**3, peak=peak(device, lambda o=occupancy, f=field: o.update(f))
        )
        occupancy.update(field)
        for size, samples in ((32, 48), (64, 128), (64, 512), (256, 256)):
            if size == 256 and device.type != "cuda":
                continue
            origins, directions = (
                x.to(device).reshape(-1, 3) for x in rays(c2w, torch.full((4,), 50.0), size, size)
            )

            def work(
                field: Any = field,
                o: Tensor = origins,
                d: Tensor = directions,
                s: int = samples,
                grid: Any = occupancy,
            ) -> Any:
                return render(field, grid, o, d, torch.ones(3, device=device), s, early_stop=0)

            with Saved(field.parameters()) as saved:
                rendered = work()
            kept = int(rendered.samples)
            del rendered
            work().rgb.sum().backward()
            both = peak(device, lambda work=work: work().rgb.sum().backward())
            forward = peak(device, work)
            tell(
                "render",
                encoding=name,
                rays=4 * size * size,
                samples=samples,
                kept=kept,
                saved=saved.bytes,
                peak_forward=forward,
                peak=both,
            )


def measure_samples(device: torch.device) -> None:
    """Bytes kept for a sample and for a place on a ray, from two objects of different size."""
    c2w = orbit_c2w(torch.tensor([0.0, 90.0, 180.0, 270.0]), torch.full((4,), 15.0), torch.full((4,), 2.2))
    origins, directions = (x.to(device).reshape(-1, 3) for x in rays(c2w, torch.full((4,), 50.0), 24, 24))
    axis = torch.linspace(-1, 1, 48)
    radius = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).norm(dim=0)
    for name, normals in itertools.product(("dense", "hash"), ("none", "finite", "analytic")):
        if (name, normals) == ("dense", "analytic"):
            continue  # it has no second derivative
        field = RadianceField(DenseGrid() if name == "dense" else HashGrid(), hidden=64).to(device)
        seen: list[tuple[int, int]] = []
        for size in (0.3, 0.9):
            occupancy = OccupancyGrid().to(device)
            occupancy.mask.copy_(radius < size)
            ask = partial(surface, normals=normals, epsilon=0.01)
            with Saved(field.parameters()) as saved:
                found = render(field, occupancy, origins, directions, samples=96, early_stop=0, surface=ask)
            seen.append((int(found.samples), saved.bytes))
        (few, small), (many, large) = seen
        kept = (large - small) / (many - few)
        place = (small - kept * few) / (origins.shape[0] * 96)
        tell("sample", encoding=name, normals=normals, kept=round(kept), place=round(place))


def measure_steps(unet: Any, vae: Any, size: int, itemsize: int) -> None:
    """Whole steps of the recipes, to check the sum of the parts. The object is a soft ball still."""
    model = MultiViewDiffusion(ModelConfig(name="measured", image_size=size), unet, vae)
    context = torch.randn(2, 1, 77, unet.config.cross_attention_dim, device=model.device)
    widths, levels = vae.config.block_out_channels, len(unet.config.block_out_channels)
    parameters = {"unet": _count(unet), "vae_encoder": _count(vae), "vae_decoder": 0, "text": 0}
    facts = ModelFacts(
        size,
        size >> (len(widths) - 1),
        parameters,
        encoder_elements(widths, vae.config.layers_per_block),
        unet_elements(unet.config.block_out_channels, [unet.config.layers_per_block] * levels),
        decoder_elements(widths),
    )
    weights = itemsize * (facts.parameters["unet"] + facts.parameters["vae_encoder"])
    for name, changes in RECIPES:
        preset, _, stage = name.partition(" ")
        numbers = dataclasses.replace(PRESETS[preset].numbers_for(size), **changes)
        numbers = dataclasses.replace(
            numbers,
            refine_from={"first": 1.0, "second": 0.0}[stage],
            shading_from=0.0 if "shaded" in name else 1.0,
        )
        torch.cuda.empty_cache()
        before = torch.cuda.mem_get_info()[0]
        job = Distillation(model, context[0], context[1], numbers, seed=0)
        allocated = max(peak(model.device, job.step) or 0 for _ in range(4))
        need = estimate(facts, numbers, Surroundings("cuda", itemsize, kernels_on(model.device, numbers)))
        tell(
            name,
            changes=changes,
            step_peak=allocated,
            taken=before - torch.cuda.mem_get_info()[0],
            estimated=need.device_total - weights,
            parts={key: round(value / 2**20) for key, value in need.device.items()},
            chunk=job.chunk,
            resident=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        )
        del job


def _count(part: nn.Module) -> int:
    return sum(parameter.numel() for parameter in part.parameters())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--model", default="small", choices=["small", *FULL_SIZE])
    parser.add_argument("--dtype", default="fp32", choices=DTYPES)
    parser.add_argument("--field", action="store_true", help="the radiance field too")
    arguments = parser.parse_args()
    device, dtype = torch.device(arguments.device), DTYPES[arguments.dtype]
    if device.type == "cuda":
        free = torch.cuda.mem_get_info()[0]
        torch.ones(8, 8, device=device) @ torch.ones(8, 8, device=device)
        tell("context", taken=free - torch.cuda.mem_get_info()[0])
    unet, vae, size = parts(arguments.model, device, dtype)
    weights = {n: sum(p.nbytes for p in part.parameters()) for n, part in (("unet", unet), ("vae", vae))}
    tell("weights", model=arguments.model, dtype=arguments.dtype, **weights)
    measure_encoder(vae, size, device, dtype)
    measure_unet(unet, size, device, dtype)
    if arguments.field:
        measure_samples(device)
        measure_field(device)
    if device.type == "cuda":
        measure_steps(unet, vae, size, dtype.itemsize)


if __name__ == "__main__":
    main()
