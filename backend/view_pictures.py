# SPDX-License-Identifier: GPL-3.0-or-later
"""Sampled views as PNG files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

BACKGROUND = 56
"""Grey level between the views: that of Blender's panels."""

Facts = Mapping[str, str]
"""What a file says of how it was made, as PNG texts."""


@dataclass(frozen=True)
class ViewSet:
    """The views of one object.

    Args:
        seed: what its noise was drawn from.
        azimuths: of the views, whole degrees 0 to 359.
        pixels: (views, H, W, 3) bytes.
    """

    seed: int
    azimuths: tuple[int, ...]
    pixels: NDArray[np.uint8]


def sheet(sets: Sequence[ViewSet]) -> Image.Image:
    """A row for each set, its views from left to right, on a neutral grey that parts them."""
    views, height, width, _ = sets[0].pixels.shape
    gap = max(1, width // 32)
    size = (views * (width + gap) - gap, len(sets) * (height + gap) - gap)
    picture = Image.new("RGB", size, (BACKGROUND,) * 3)
    for row, each in enumerate(sets):
        for column, pixels in enumerate(each.pixels):
            picture.paste(Image.fromarray(pixels), (column * (width + gap), row * (height + gap)))
    return picture


def write_sheet(path: Path, sets: Sequence[ViewSet], facts: Facts) -> None:
    """Writes all sets as one picture (beside, then renamed)."""
    _write(path, sheet(sets), {**facts, "seed": ", ".join(str(each.seed) for each in sets)})


def write_views(folder: Path, made: ViewSet, facts: Facts, name_seed: bool) -> list[Path]:
    """Writes each view as a file view-AZIMUTH.png, or view-SEED-AZIMUTH.png where `name_seed`."""
    stem = f"view-{made.seed}" if name_seed else "view"
    written = []
    for azimuth, pixels in zip(made.azimuths, made.pixels, strict=True):
        path = folder / f"{stem}-{azimuth:03d}.png"
        _write(path, Image.fromarray(pixels), {**facts, "seed": str(made.seed), "azimuth": str(azimuth)})
        written.append(path)
    return written


def _write(path: Path, picture: Image.Image, facts: Facts) -> None:
    texts = PngInfo()
    for name, value in facts.items():
        texts.add_itxt(name, value)
    scratch = path.with_name(path.name + ".part")
    picture.save(scratch, format="PNG", pnginfo=texts)
    os.replace(scratch, path)
