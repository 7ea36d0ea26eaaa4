# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the held-out references that `python -m toyworld references` rendered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from backend.errors import UserError

FOLDER = Path(__file__).with_name("heldout")
OUTLINE_SIZE = 64


@dataclass(frozen=True)
class Part:
    """A coloured part of a reference.

    number: its value in the part maps. thing: index of the object it belongs to. role: "main", "second",
    "pattern", or the name of a colour that is the same in every object of the kind. color: palette name.
    """

    number: int
    thing: int
    role: str
    color: str


@dataclass(frozen=True)
class Reference:
    """The truth for one prompt, seen from 8 azimuths 45 degrees apart, the first from the front.

    slug: name of its folder. prompt: its caption. kinds: of its one or two objects. fronts: whether each has
    a front. patterned: whether each has a pattern. parts: what the part maps' numbers mean.
    images: (8, H, W, 4) float32 in 0..1, sRGB with straight alpha. part_maps: (8, H, W) uint8, 0 background.
    c2w: (8, 4, 4). fov: degrees.
    """

    slug: str
    prompt: str
    kinds: tuple[str, ...]
    fronts: tuple[bool, ...]
    patterned: tuple[bool, ...]
    parts: tuple[Part, ...]
    images: NDArray[np.float32] = field(repr=False)
    part_maps: NDArray[np.uint8] = field(repr=False)
    c2w: NDArray[np.float64] = field(repr=False)
    fov: float

    @cached_property
    def silhouettes(self) -> NDArray[np.bool_]:
        """(8, H, W): where the object is."""
        return self.images[..., 3] > 0.5

    @property
    def composed(self) -> bool:
        """Whether it shows two objects."""
        return len(self.kinds) > 1


@dataclass(frozen=True)
class HeldOut:
    """All references, the outlines (K, 8, 64, 64) of all kinds by name, and the palette's sRGB values."""

    references: tuple[Reference, ...]
    kinds: tuple[str, ...]
    outlines: NDArray[np.bool_] = field(repr=False)
    palette: Mapping[str, NDArray[np.float64]] = field(repr=False)


def load_heldout(folder: Path = FOLDER) -> HeldOut:
    """All held-out references of `folder`.

    Raises UserError when they are not there or are broken.
    """
    try:
        palette = json.loads((folder / "palette.json").read_text(encoding="utf-8"))
        with np.load(folder / "silhouettes.npz", allow_pickle=False) as packed:
            kinds = tuple(str(name) for name in packed["names"])
            masks = np.unpackbits(packed["masks"], axis=-1).astype(bool)
        folders = sorted(path.parent for path in folder.glob("*/transforms.json"))
        references = tuple(load_reference(path) for path in folders)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"The references in {folder} can't be read ({error}). "
            "Render them with Blender's Python: python -m toyworld references --out " + str(folder)
        ) from error
    outlines = masks.reshape(len(kinds), -1, OUTLINE_SIZE, OUTLINE_SIZE)
    return HeldOut(references, kinds, outlines, {name: np.asarray(rgb) for name, rgb in palette.items()})


def load_reference(folder: Path) -> Reference:
    """One reference. Raises OSError, ValueError or KeyError when it is missing or broken."""
    data: dict[str, Any] = json.loads((folder / "transforms.json").read_text(encoding="utf-8"))
    frames = data["frames"]
    images = np.stack([_read_image(folder / frame["file_path"]) for frame in frames])
    with np.load(folder / "parts.npz", allow_pickle=False) as packed:
        part_maps = packed["parts"]
    things = data["things"]
    return Reference(
        slug=folder.name,
        prompt=data["caption"],
        kinds=tuple(thing["kind"] for thing in things),
        fronts=tuple(bool(thing["front"]) for thing in things),
        patterned=tuple(thing["pattern"] is not None for thing in things),
        parts=tuple(Part(**part) for part in data["parts"]),
        images=images,
        part_maps=part_maps,
        c2w=np.array([frame["transform_matrix"] for frame in frames], dtype=np.float64),
        fov=float(np.degrees(data["camera_angle_x"])),
    )


def _read_image(path: Path) -> NDArray[np.float32]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGBA"), dtype=np.float32) / np.float32(255)
