# SPDX-License-Identifier: GPL-3.0-or-later
"""Every number of the recipe: its meaning, its bounds, and the value of the published configuration.

Standard library only. Command line, HTTP schema and presets are all made from this one list.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from backend.errors import UserError

VIEWS_PER_SET = 4

Pair = tuple[float, float]


def _number(value: float, low: float, high: float, text: str) -> Any:
    return field(default=value, metadata={"low": low, "high": high, "help": text})


def _choice(value: str, choices: tuple[str, ...], text: str) -> Any:
    return field(default=value, metadata={"choices": choices, "help": text})


def _pair(low: float, high: float, text: str) -> Any:
    return field(default=None, metadata={"pair": True, "low": low, "high": high, "help": text})


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """What one generation runs with. The defaults are MVDream's published, unshaded configuration.

    A "share" is a part of all steps, 0..1, so that a recipe keeps its form when `steps` changes.
    """

    # The run
    steps: int = _number(10_000, 10, 100_000, "optimisation steps of score distillation")
    views_per_step: int = _number(8, 4, 32, "pictures rendered a step, a multiple of 4")
    render_size: int = _number(64, 16, 256, "edge of a rendered picture in pixels")
    refine_from: float = _number(
        0.5, 0, 1, "share of the steps after which the refine_ values count; 1: never"
    )
    refine_views_per_step: int = _number(4, 4, 32, "pictures rendered a step while refining")
    refine_render_size: int = _number(256, 16, 512, "edge of a rendered picture while refining")
    # 2 sqrt(3) / 512 a bin, the published step, is 296 bins on the diameter of the unit sphere.
    samples_per_ray: int = _number(296, 8, 1024, "bins across the diameter of the field's sphere")
    ray_chunk: int = _number(
        0, 0, 1 << 20, "rays rendered with gradients at a time, 0: all; less needs less memory"
    )

    # Guidance
    guidance_scale: float = _number(50.0, 0, 200, "strength of classifier-free guidance")
    guidance_rescale: float = _number(
        0.5, 0, 1, "share of the CFG rescale, which keeps colours from saturating"
    )
    guidance_mode: str = _choice(
        "x0", ("x0", "sds"), "the paper's reconstruction loss, or plain score distillation"
    )
    tiny_encoder_until: float = _number(
        0.0, 0, 1, "share of the steps whose pictures a small image encoder reads: quicker, less exact"
    )
    noise_start: float = _number(
        0.98, 0.02, 1, "noise at the first step, both ends of its range (1 is all noise)"
    )
    noise_low: float = _number(0.02, 0, 1, "lowest noise once the range has come down")
    noise_high: float = _number(0.5, 0, 1, "highest noise once the range has come down")
    anneal_until: float = _number(0.8, 0, 1, "share of the steps over which the noise range comes down")

    # Cameras
    fov: Pair | None = _pair(  # noqa: RUF009 - it makes a field
        1, 120, "vertical field of view in degrees, lowest and highest (default: the model's)"
    )
    elevation: Pair | None = _pair(  # noqa: RUF009 - it makes a field
        -90, 90, "degrees above the horizon, lowest and highest (default: the model's)"
    )
    distance: Pair | None = _pair(  # noqa: RUF009 - it makes a field
        0.3, 5, "distance times tan(fov / 2), lowest and highest (default: the model's)"
    )

    # Field
    start: str = _choice(
        "blob", ("blob", "views"), "a ball, or a field fitted to four views that are sampled first"
    )
    encoding: str = _choice(
        "hash", ("auto", "hash", "dense"), "auto: a hash grid on a GPU, dense grids on a CPU"
    )
    hash_levels: int = _number(16, 1, 24, "levels of the hash grid")
    hash_log2_size: int = _number(19, 8, 22, "log2 of the entries a level may have")
    hash_base: int = _number(16, 2, 128, "resolution of the coarsest level")
    hash_finest: int = _number(4096, 16, 8192, "resolution of the finest level")
    hidden: int = _number(64, 8, 128, "width of the field's two networks")
    network_bias: str = _choice(
        "no", ("yes", "no"), "whether the networks of field and background have biases"
    )
    density_multiplier: float = _number(
        1.0, 0.1, 100, "factor on the density; more makes surfaces hard sooner"
    )
    blob_scale: float = _number(10.0, 0, 100, "density of the ball everything starts from")
    blob_radius: float = _number(0.5, 0.05, 2, "radius of that ball in world units")
    occupancy_resolution: int = _number(128, 8, 256, "cells along an edge of the grid that skips empty space")
    # 0.01 of a published step's light: 0.01 / (2 sqrt(3) / 512).
    occupancy_density: float = _number(1.478, 0, 100, "density above which a cell counts as occupied")
    occupancy_every: int = _number(16, 1, 1000, "steps between two looks at which space is empty")
    occupancy_decay: float = _number(0.95, 0, 1, "how much of a cell's old density is remembered at a look")

    # Optimiser (AdamW, betas 0.9 and 0.99)
    grid_rate: float = _number(0.01, 0, 1, "learning rate of the encoding")
    network_rate: float = _number(0.001, 0, 1, "learning rate of the field's networks")
    background_rate: float = _number(0.001, 0, 1, "learning rate of a learned background")
    epsilon: float = _number(
        1e-15, 0, 1, "Adam's epsilon; a large one lets cells that hardly matter hardly move"
    )
    weight_decay: float = _number(0.01, 0, 1, "AdamW's weight decay")
    warmup: int = _number(0, 0, 10_000, "steps until the full learning rate")
    decay_from: float = _number(
        1.0, 0, 1, "share of the steps after which the rates fall to a tenth; 1: never"
    )

    # Background and light
    background: str = _choice(
        "learned", ("learned", "random"), "an environment that is learned, or a random colour"
    )
    background_random: float = _number(
        0.5, 0, 1, "how often a learned background is replaced by a random colour"
    )
    shading_from: float = _number(1.0, 0, 1, "share of the steps before there is a light; 1: never")
    shading_probability: float = _number(0.75, 0, 1, "how often there is a light then")
    textureless_probability: float = _number(0.5, 0, 1, "how often the object is white under the light")
    normals: str = _choice(
        "auto", ("auto", "analytic", "finite"), "auto: analytic with a hash grid, else finite differences"
    )
    normal_step: float = _number(0.01, 0.0005, 0.1, "world units between the samples of finite differences")

    # Losses besides guidance
    orientation_start: float = _number(0.0, 0, 1e6, "weight on normals that look away, at the first step")
    orientation: float = _number(0.0, 0, 1e6, "the same once it has grown")
    orientation_until: float = _number(0.5, 0, 1, "share of the steps over which it grows")
    sparsity: float = _number(0.0, 0, 1e6, "weight on opaque rays: pulls to empty")
    entropy: float = _number(0.0, 0, 1e6, "weight on half-transparent rays: pushes to solid or empty")
    entropy_from: float = _number(0.5, 0, 1, "share of the steps before that")
    variation: float = _number(0.0, 0, 1e6, "weight of total variation in a dense grid: smooth surfaces")

    # Mesh
    mesh_resolution: int = _number(192, 32, 512, "cells along an edge of the grid the surface is taken from")
    faces: int = _number(40_000, 100, 500_000, "triangles at most")
    texture_size: int = _number(2048, 64, 8192, "edge of the texture in pixels")

    # Reports
    preview_every: int = _number(100, 0, 100_000, "steps between two preview pictures, 0: none")
    checkpoint_every: int = _number(250, 0, 100_000, "steps between two checkpoints, 0: none")

    def check(self) -> None:
        """Raises UserError for numbers that are fine alone and impossible together."""
        for name in ("views_per_step", "refine_views_per_step"):
            if getattr(self, name) % VIEWS_PER_SET:
                raise UserError(
                    f"{name} must be a multiple of {VIEWS_PER_SET}, the views of a set;"
                    f" {getattr(self, name)} is not."
                )
        if self.noise_low > self.noise_high:
            raise UserError(
                f"noise_low ({self.noise_low:g}) is above noise_high ({self.noise_high:g}); swap them."
            )
        for name in ("fov", "elevation", "distance"):
            pair = getattr(self, name)
            if pair is not None and pair[0] > pair[1]:
                raise UserError(f"{name} is {pair[0]:g} to {pair[1]:g}: the lowest value comes first.")

    def encoding_on(self, device_type: str) -> str:
        """ "hash" or "dense" on "cpu", "cuda" or "mps". On a CPU ATen's `grid_sample` beats any hash grid."""
        if self.encoding != "auto":
            return self.encoding
        return "dense" if device_type == "cpu" else "hash"

    @property
    def needs_normals(self) -> bool:
        """Whether a light or a loss asks for the surface's direction."""
        return self.shading_from < 1 or self.orientation > 0 or self.orientation_start > 0


NUMBER_NAMES: tuple[str, ...] = tuple(each.name for each in dataclasses.fields(Numbers))
