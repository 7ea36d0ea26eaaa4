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
from backend.memory.rendering import (
    RAY_BYTES,
    Kernels,
    found_bytes,
    is_fused,
    look_bytes,
    sample_bytes,
)

if TYPE_CHECKING:
    from backend.settings import Numbers

FLOAT = 4
FIELD_COPIES = 4
"""A field's parameter, its gradient, and Adam's two means, all float32."""

FUSED_FIELD_COPIES = 1.5
"""With the field's kernels also: the table in half precision, and a part's gradient on its way to the sum."""

CHUNK_CROWDING = 2.0
"""Rays through the middle of a picture have more samples than the average: for less than half a picture."""

FUSED_ENCODER = 0.37
"""Of what diffusers' image encoder keeps, what fused modules keep: of 4 views 0.53 GiB instead of 1.5."""
GRAPH_COPIES = 2
"""Networks that are CUDA graphs: each graph has memory of its own, beside what the calls before it took.

An H100 reserved 5.0 GiB and took half a GiB for its context in the paper's first stage; this gives 5.6.
"""

START_VIEWS, START_RAYS = 4, 512
"""A start from sampled views: views of one object, and rays of its pictures at a time."""

MESH_CELL_BYTES, TEXEL_BYTES = 37, 92
"""Computer's memory while the surface is found and the texture is painted (256³ cells, 4096² texels)."""
MESH_BASE = 90 * 2**20
PROCESS_BYTES = {"cpu": 450 * 2**20, "cuda": 1500 * 2**20, "mps": 600 * 2**20}
"""Computer's memory for the libraries beside anything counted here, once torch is imported.

On a CPU three jobs of the small model took 582, 2090 and 518 MiB at their peak; the estimates are 675, 2055
and 584.
"""
GPU_LIBRARY_BYTES = 500 * 2**20
"""On the GPU, beside anything counted here: the context, workspaces of libraries, what is rounded up."""


def unet_copies(device_type: str, itemsize: int) -> int:
    """How often the UNet's weights may be there: on processors a second copy is laid out for bfloat16.

    Where UNets alone are in bfloat16, the estimates count them with four bytes a number, which is as much.
    """
    return 2 if device_type == "cpu" and itemsize == 2 else 1


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
class Surroundings:
    """Where a job runs.

    Args:
        device_type: "cpu", "cuda" or "mps".
        itemsize: bytes of a number in the networks (2 or 4).
        kernels: what Triton does for the field.
        graphs: whether the networks run as CUDA graphs.
        fused: whether they are made of fused modules.
    """

    device_type: str
    itemsize: int
    kernels: Kernels = "none"
    graphs: bool = False
    fused: bool = False


def estimate(facts: ModelFacts, numbers: Numbers, here: Surroundings) -> Need:
    """What a job needs at its peak."""
    job = _Job(facts, numbers, here)
    cells = numbers.occupancy_resolution**3
    # No two of these at the same time: the text encoder is gone before the first step.
    moments = [
        job.reading(),
        *job.start(),
        {"occupancy grid": round(cells * look_bytes(numbers, here.device_type, here.kernels))},
        *job.steps(),
    ]
    mesh = max(MESH_CELL_BYTES * numbers.mesh_resolution**3, TEXEL_BYTES * numbers.texture_size**2)
    return job.need(moments, mesh + MESH_BASE)


def estimate_start(facts: ModelFacts, numbers: Numbers, here: Surroundings) -> Need:
    """What a job needs at its peak until its start from sampled views is over."""
    job = _Job(facts, numbers, here)
    return job.need([job.reading(), *job.start()])


def stages(numbers: Numbers) -> list[tuple[int, int]]:
    """(views, edge of a picture) of each stage of a job that has any steps."""
    first = (numbers.views_per_step, numbers.render_size)
    second = (numbers.refine_views_per_step, numbers.refine_render_size)
    if numbers.refine_from >= 1:
        return [first]
    return [second] if numbers.refine_from <= 0 else [first, second]


def field_parameters(numbers: Numbers, device_type: str) -> int:
    """Numbers in the encoding; the networks behind it are a few thousand."""
    if numbers.encoding_on(device_type) == "dense":
        return 4 * sum(nodes**3 for nodes in (8, 16, 32, 64))
    growth = (numbers.hash_finest / numbers.hash_base) ** (1 / max(1, numbers.hash_levels - 1))
    sizes = (
        min(ceil(numbers.hash_base * growth**level) ** 3, 2**numbers.hash_log2_size)
        for level in range(numbers.hash_levels)
    )
    return 2 * sum(sizes)


@dataclass(frozen=True)
class _Job:
    """What `estimate` is asked about."""

    facts: ModelFacts
    numbers: Numbers
    here: Surroundings

    @property
    def field(self) -> int:
        fused = is_fused(self.numbers, self.here.device_type, self.here.kernels)
        copies = FIELD_COPIES + (FUSED_FIELD_COPIES if fused else 0)
        return round(FLOAT * copies * field_parameters(self.numbers, self.here.device_type))

    def need(self, moments: list[dict[str, int]], mesh: int = 0) -> Need:
        """With the largest of the moments, or on a CPU with the mesh if that takes more."""
        step = max(moments, key=_total)
        unets = ["unet"] * unet_copies(self.here.device_type, self.here.itemsize)
        kept = {"weights": self._weights(*unets, "vae_encoder"), "field": self.field}
        process = PROCESS_BYTES.get(self.here.device_type, PROCESS_BYTES["cuda"])
        making = {"mesh and texture": mesh} if mesh else {}
        if self.here.device_type == "cpu":
            return Need({}, {"libraries": process, **kept, **(making if mesh > _total(step) else step)})
        return Need({"libraries": GPU_LIBRARY_BYTES, **kept, **step}, {"libraries": process, **making})

    def reading(self) -> dict[str, int]:
        """While the prompt is encoded; what later moments need is loaded too."""
        return {"text encoder": self._weights("text"), **self._decoder()}

    def start(self) -> list[dict[str, int]]:
        """Sampling views, making pictures of them one by one, and bringing the field to them."""
        if self.numbers.start != "views":
            return []
        facts, decoder = self.facts, self._decoder()
        network = self._network(min(START_VIEWS, self.numbers.views_per_step))
        picture = round(facts.image_size**2 * facts.decoder_elements * self.here.itemsize)
        return [
            {"network": network * (GRAPH_COPIES if self.here.graphs else 1), **decoder},
            {"picture": picture, **decoder},
            {"samples": self._samples(START_RAYS, 1.0)},
        ]

    def _decoder(self) -> dict[str, int]:
        return {"image decoder": self._weights("vae_decoder")} if self.numbers.start == "views" else {}

    def _weights(self, *parts: str) -> int:
        return self.here.itemsize * sum(self.facts.parameters[part] for part in parts)

    def _network(self, views: int) -> int:
        # Classifier-free guidance asks with and without the prompt in one batch, without gradients.
        facts = self.facts
        return round(2 * views * facts.latent_size**2 * facts.unet_elements * self.here.itemsize)

    def steps(self) -> list[dict[str, int]]:
        """The most that a step of each stage has at once beside weights and field."""
        held: dict[str, int] = {}
        if self.here.graphs:
            # A stage begins beside the graphs of the one before.
            largest = max((self._guidance(views) for views, _ in stages(self.numbers)), key=_total)
            held = {"graphs": (GRAPH_COPIES - 1) * _total(largest)}
        return [{**held, **self._step(*stage)} for stage in stages(self.numbers)]

    def _guidance(self, views: int) -> dict[str, int]:
        facts = self.facts
        elements = facts.encoder_elements * (FUSED_ENCODER if self.here.fused else 1.0)
        return {
            "image encoder": round(views * facts.image_size**2 * elements * self.here.itemsize),
            "network": self._network(views),
        }

    def _step(self, views: int, size: int) -> dict[str, int]:
        guidance, every = self._guidance(views), views * size * size
        rays = {"rays": RAY_BYTES * every}
        found = found_bytes(every, self.numbers, self.here.device_type, self.here.kernels)
        if found:
            rays["found samples"] = found
        chunk = self.numbers.ray_chunk
        if not 0 < chunk < every:
            # The pictures' graph waits while the encoder's grows.
            return {**rays, "samples": self._samples(every, 1.0), **guidance}
        crowding = 1.0 if 2 * chunk >= size * size else CHUNK_CROWDING
        part = {"samples": self._samples(chunk, crowding)}
        return {**rays, **(part if _total(part) > _total(guidance) else guidance)}

    def _samples(self, rays: int, crowding: float) -> int:
        return sample_bytes(rays, self.numbers, self.here.device_type, self.here.kernels, crowding)


def _total(parts: Mapping[str, int]) -> int:
    return sum(parts.values())
