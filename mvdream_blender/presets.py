# SPDX-License-Identifier: GPL-3.0-or-later
"""The presets that the panel offers; a test compares them with the backend's. Never imports bpy."""

PRESETS: tuple[tuple[str, str, str], ...] = (
    (
        "draft",
        "Draft",
        "Shape and colours, quickly: 40 of 60 steps with the small model, a quarter with a published one",
    ),
    ("standard", "Standard", "The way to a finished object"),
    ("paper", "Paper", "MVDream as published: 10,000 steps, made for the published models"),
    (
        "paper-shaded",
        "Paper, shaded",
        "As published with a light, which carves finer shapes and takes twice as long",
    ),
)
DEFAULT_PRESET = "standard"
LARGEST_SEED = 2**31 - 1
