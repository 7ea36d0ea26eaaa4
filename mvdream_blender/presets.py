# SPDX-License-Identifier: GPL-3.0-or-later
"""The presets that the panel offers; a test compares them with the backend's. Never imports bpy."""

PRESETS: tuple[tuple[str, str, str], ...] = (
    ("draft", "Draft", "Half the steps: the shape and the colours, quickly"),
    ("standard", "Standard", "The whole way: what the shipped model is meant to be used with"),
)
DEFAULT_PRESET = "standard"
LARGEST_SEED = 2**31 - 1
