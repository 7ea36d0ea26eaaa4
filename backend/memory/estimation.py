# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes that a job needs, part by part. Pure arithmetic; the constants were measured.

How: benchmarks/memory_use.py, saved_tensors_hooks for what autograd keeps (the same on every device) and the
allocator's peak on an H100 for the rest; resident memory of whole jobs with the small model on a CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from backend.memory.facts import ModelFacts

if TYPE_CHECKING:
    from backend.settings import Numbers

FLOAT = 4
FIELD_COPIES = 4
"""A field's parameter, its gradient, and Adam's two means, all float32."""

BIN_BYTES = 40
"""A place on a ray, sample or not: 16 bytes are kept for the backward pass, the rest while marching."""
RAY_BYTES = 300
"""Origin, direction, background and the learned background's activations."""
MARCHED_SHARE, KEPT_SHARE = 0.25, 0.15
"""Bins in occupied cells, and those of them light reaches: the most in three jobs was 0.243 and 0.146."""
CHUNK_CROWDING = 2.0
"""Rays through the middle of a picture have more of both than the average: for less than half a picture."""
TRANSIENT = 1.25
"""Peak over what is kept for the backward pass; measured 1.16 (hash) and 1.21 (dense)."""

DENSE_BYTES = 121
"""Kept for a sample by a dense grid of 4 levels of 4; 8 more for each hidden unit of the networks."""
HASH_BYTES, HASH_LEVEL_BYTES = 29, 105
"""The same by the hash grid in plain PyTorch: 1709 with 16 levels."""
TRITON_BYTES, TRITON_LEVEL_BYTES = 57, 8
"""The same by its Triton kernels, which keep positions and features only: 185 with 16 levels."""
ANALYTIC_FACTOR = 7.0
"""Normals from a second derivative keep plain PyTorch's intermediates so many times."""
ANALYTIC_TRITON_BYTES = 48
"""With the kernels they keep the features' gradient, and this."""
FINITE_POINTS = 4
"""Normals by finite differences ask for the density so many times more."""
LOOK_BYTES = {"dense": 96, "hash": 164, "triton": 185}
"""Without gradients, for a point, beside 8 for each hidden unit: 352 (dense) and 676 (hash) were measured."""

MESH_CELL_BYTES, TEXEL_BYTES = 37, 92
"""Computer's memory while the surface is found and the texture is painted (256³ cells, 4096² texels)."""
MESH_BASE = 90 * 2**20
PROCESS_BYTES = {"cpu": 450 * 2**20, "cuda": 1500 * 2**20, "mps": 600 * 2**20}
"""Computer's memory for the libraries beside anything counted here, once torch is imported.

On a CPU three jobs of the small model took 582, 2090 and 518 MiB at their peak; the estimates are 675, 2055
and 584.
"""
GPU_LIBRARY_BYTES = 500 * 2**20
"""On the GPU, beside anything counted here: workspaces of cuBLAS and cuDNN, what the allocator rounds up."""


@dataclass(frozen=True)
class Need:
    """Bytes a job needs. On a CPU both are in the same memory, and `host` holds everything.

    Args:
        device: by part, on the GPU; empty for a CPU.
        host: by part, in the computer's memory.
    """

    device: Mapping[str, int]
    host: Mapping[str, int]

    @property
    def device_total(self) -> int:
        return sum(self.device.values())

    @property
    def host_total(self) -> int:
        return sum(self.host.values())


@dataclass(frozen=True)
class _Sampling:
    """Bytes for a sample: kept with gradients, and taken without."""

    kept: float
    look: float


def estimate(
    facts: ModelFacts, numbers: Numbers, itemsize: int, device_type: str, triton: bool = False
) -> Need:
    """What a job needs at its peak.

    itemsize: bytes of a number in the networks (2 or 4); device_type: "cpu", "cuda" or "mps"; triton: whether
    a hash grid runs on its kernels.
    """
    weights = itemsize * (facts.parameters["unet"] + facts.parameters["vae_encoder"])
    field = FLOAT * FIELD_COPIES * field_parameters(numbers, device_type)
    sampling = _sampling(numbers, encoding_of(numbers, device_type), triton)
    step = max(
        (_step(facts, numbers, itemsize, sampling, *stage) for stage in stages(numbers)),
        key=lambda parts: sum(parts.values()),
    )
    # The text encoder is there before the first step and gone with it.
    text = itemsize * facts.parameters["text"]
    if text > sum(step.values()):
        step = {"text encoder": text}
    working = {"weights": weights, "field": field, **step}
    mesh = max(MESH_CELL_BYTES * numbers.mesh_resolution**3, TEXEL_BYTES * numbers.texture_size**2)
    mesh += MESH_BASE
    process = PROCESS_BYTES.get(device_type, PROCESS_BYTES["cuda"])
    if device_type == "cpu":
        if mesh > sum(step.values()):
            working = {"weights": weights, "field": field, "mesh and texture": mesh}
        return Need({}, {"libraries": process, **working})
    return Need({"libraries": GPU_LIBRARY_BYTES, **working}, {"libraries": process, "mesh and texture": mesh})


def stages(numbers: Numbers) -> list[tuple[int, int]]:
    """(views, edge of a picture) of each stage of a job that has any steps."""
    first = (numbers.views_per_step, numbers.render_size)
    second = (numbers.refine_views_per_step, numbers.refine_render_size)
    if numbers.refine_from >= 1:
        return [first]
    return [second] if numbers.refine_from <= 0 else [first, second]


def encoding_of(numbers: Numbers, device_type: str) -> str:
    """ "hash" or "dense": what "auto" means depends on the device."""
    if numbers.encoding != "auto":
        return numbers.encoding
    return "dense" if device_type == "cpu" else "hash"


def field_parameters(numbers: Numbers, device_type: str) -> int:
    """Numbers in the encoding; the networks behind it are a few thousand."""
    if encoding_of(numbers, device_type) == "dense":
        return 4 * sum(nodes**3 for nodes in (8, 16, 32, 64))
    growth = (numbers.hash_finest / numbers.hash_base) ** (1 / max(1, numbers.hash_levels - 1))
    sizes = (
        min(ceil(numbers.hash_base * growth**level) ** 3, 2**numbers.hash_log2_size)
        for level in range(numbers.hash_levels)
    )
    return 2 * sum(sizes)


def _step(
    facts: ModelFacts, numbers: Numbers, itemsize: int, sampling: _Sampling, views: int, size: int
) -> dict[str, int]:
    """The most that one step has at once beside weights and field."""
    encoder = round(views * facts.image_size**2 * facts.encoder_elements * itemsize)
    # Classifier-free guidance asks with and without the prompt in one batch, without gradients.
    unet = round(2 * views * facts.latent_size**2 * facts.unet_elements * itemsize)
    guidance = {"image encoder": encoder, "network": unet}
    all_rays = views * size * size
    rays = {"rays": RAY_BYTES * all_rays}
    chunk = numbers.ray_chunk
    if not 0 < chunk < all_rays:
        # The pictures' graph waits while the encoder's grows.
        return {**rays, "samples": _samples(all_rays, numbers, sampling, 1.0), **guidance}
    crowding = 1.0 if 2 * chunk >= size * size else CHUNK_CROWDING
    part = {"samples": _samples(chunk, numbers, sampling, crowding)}
    return {**rays, **(part if part["samples"] > encoder + unet else guidance)}


def _samples(rays: int, numbers: Numbers, sampling: _Sampling, crowding: float) -> int:
    bins = rays * numbers.samples_per_ray
    look = MARCHED_SHARE * sampling.look
    kept = KEPT_SHARE * sampling.kept * TRANSIENT
    return round(bins * (BIN_BYTES + crowding * max(look, kept)))


def _sampling(numbers: Numbers, kind: str, triton: bool) -> _Sampling:
    if kind == "hash" and triton:
        kind = "triton"
    levels, networks = numbers.hash_levels, 8.0 * numbers.hidden
    encoding = {
        "dense": DENSE_BYTES,
        "hash": HASH_BYTES + HASH_LEVEL_BYTES * levels,
        "triton": TRITON_BYTES + TRITON_LEVEL_BYTES * levels,
    }[kind]
    kept = encoding + networks
    if numbers.needs_normals:
        finite = numbers.normals == "finite" or (numbers.normals == "auto" and kind == "dense")
        if finite:
            kept += FINITE_POINTS * (encoding + networks / 2)
        elif kind == "triton":
            kept += ANALYTIC_TRITON_BYTES + TRITON_LEVEL_BYTES * levels + networks / 2
        else:
            kept = ANALYTIC_FACTOR * encoding + 1.5 * networks
    return _Sampling(kept, LOOK_BYTES[kind] + networks)
