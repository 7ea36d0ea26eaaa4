# SPDX-License-Identifier: GPL-3.0-or-later
"""The colours of the toy world. Needs nothing of Blender."""

# Display-referred sRGB, 0..1. Chosen to stay apart from one another under shading.
COLORS: dict[str, tuple[float, float, float]] = {
    "red": (0.85, 0.08, 0.08),
    "orange": (1.00, 0.48, 0.05),
    "yellow": (0.98, 0.85, 0.10),
    "lime": (0.60, 0.90, 0.15),
    "green": (0.08, 0.52, 0.14),
    "cyan": (0.15, 0.85, 0.90),
    "blue": (0.12, 0.30, 0.92),
    "navy": (0.07, 0.09, 0.38),
    "purple": (0.50, 0.14, 0.72),
    "pink": (1.00, 0.50, 0.75),
    "brown": (0.42, 0.22, 0.08),
    "black": (0.06, 0.06, 0.06),
    "white": (0.95, 0.95, 0.95),
    "gray": (0.50, 0.50, 0.50),
}


def to_linear(srgb: tuple[float, float, float]) -> tuple[float, float, float]:
    """sRGB display values, 0..1, to scene-linear (IEC 61966-2-1)."""
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in srgb)
    return r, g, b
