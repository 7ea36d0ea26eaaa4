# SPDX-License-Identifier: GPL-3.0-or-later
"""Named recipes. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass, replace

from backend.settings.numbers import Numbers

SMALL_IMAGE = 128
"""Models whose images are at most so large count as small: they want another recipe than MVDream's own."""


@dataclass(frozen=True)
class Preset:
    """A named recipe. `title` and `description` are what the panel shows.

    numbers: with a published model. small: with the shipped one.
    """

    title: str
    description: str
    numbers: Numbers
    small: Numbers

    def numbers_for(self, image_size: int) -> Numbers:
        """The numbers that suit a model with images of `image_size` pixels."""
        return self.small if image_size <= SMALL_IMAGE else self.numbers


# MVDream, section 4.2 and the configuration files published with it; docs/recipes.md has the table.
PAPER = Numbers()
PAPER_SHADED = replace(
    PAPER,
    shading_from=0.5,
    normals="analytic",
    orientation_start=10.0,
    orientation=1000.0,
)

# The paper's recipe in less time: fewer steps, smaller pictures in the second half.
STANDARD = replace(PAPER, steps=4000, refine_render_size=128, warmup=50)
DRAFT = replace(
    STANDARD,
    steps=1000,
    views_per_step=4,
    refine_from=0.7,
    mesh_resolution=128,
    faces=20_000,
    texture_size=1024,
)

# Found by trials with the shipped model on a CPU; docs/schedule.md has them.
SMALL_STANDARD = Numbers(
    steps=60,
    # From sampled views 60 steps do what 240 did from a ball: shape and colours are there, details are left.
    start="views",
    noise_start=0.6,
    anneal_until=0.6,
    views_per_step=4,
    render_size=32,
    # Edges get nearer to where they belong.
    refine_from=0.7,
    refine_render_size=48,
    # Where the model has one and a processor computes (ModelEntry.recipe).
    tiny_encoder_until=1.0,
    samples_per_ray=48,
    # With less, outlines are nearer the truth, and colours and patterns fade.
    guidance_scale=6.0,
    encoding="dense",
    hidden=32,
    network_bias="yes",
    # A multiplier of 40 instead of 1 makes surfaces hard within a few hundred steps.
    density_multiplier=40.0,
    blob_radius=0.35,
    occupancy_resolution=48,
    occupancy_density=0.3,
    occupancy_decay=0.7,
    grid_rate=0.03,
    network_rate=0.0075,
    epsilon=1e-3,
    weight_decay=0.0,
    warmup=5,
    decay_from=0.5,
    background="random",
    sparsity=5.0,
    entropy=3.0,
    variation=3000.0,
    mesh_resolution=96,
    faces=10_000,
    texture_size=1024,
    preview_every=20,
    checkpoint_every=25,
)

PRESETS: dict[str, Preset] = {
    "draft": Preset(
        "Draft",
        "Shape and colours, quickly: 40 of 60 steps with the small model, a quarter with a published one",
        DRAFT,
        replace(SMALL_STANDARD, steps=40),
    ),
    "standard": Preset("Standard", "The way to a finished object", STANDARD, SMALL_STANDARD),
    "paper": Preset(
        "Paper", "MVDream as published: 10,000 steps, made for the published models", PAPER, PAPER
    ),
    "paper-shaded": Preset(
        "Paper, shaded",
        "As published with a light, which carves finer shapes and takes twice as long",
        PAPER_SHADED,
        PAPER_SHADED,
    ),
}
DEFAULT_PRESET = "standard"
