# SPDX-License-Identifier: GPL-3.0-or-later
"""sRGB, linear light and OKLab, a space in which distances match what people see (Ottosson, 2020)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]

_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def to_linear(srgb: Array) -> Array:
    """Display values 0..1 to linear light (IEC 61966-2-1)."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((np.maximum(srgb, 0.04045) + 0.055) / 1.055) ** 2.4)


def to_srgb(linear: Array) -> Array:
    """Linear light to display values, clipped to 0..1."""
    linear = np.clip(linear, 0.0, 1.0)
    return np.where(
        linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
    )


def to_oklab(linear: Array) -> Array:
    """Linear light (..., 3) to OKLab (..., 3): lightness 0..1, green to red, blue to yellow."""
    return np.cbrt(np.maximum(linear, 0.0) @ _TO_LMS.T) @ _TO_LAB.T
