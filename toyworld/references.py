# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders what the evaluation compares with: canonical held-out scenes, and every kind's outline.

The folder's layout:

- `palette.json`: the sRGB values (0..1) of all colours a prompt can name.
- `silhouettes.npz`: `names` (K,), `masks` (K, 8 views, bytes) with the rows of 64 x 64 pixels packed eight
  to a byte.
- `<place>-<caption>/transforms.json` and `000.webp` ... `007.webp`: one object of a dataset folder, plus the
  keys "things" (kind, colours, whether it has a front) and "parts" (what the numbers of the part maps mean).
- `<place>-<caption>/parts.npz`: `parts` (8, 128, 128) uint8, 0 for background.
"""

import json
import logging
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import bpy
import numpy as np

from mvdream_blender.dataset import ViewRenderer, ViewSet

from .captions import Thing, ToyScene, caption
from .compose import Built, _color, build_scene, remove
from .heldout import held_out_scenes
from .kinds import Kind, load_all
from .palette import COLORS, to_linear
from .render import kinds_to_rest_on
from .shapes import Builder
from .vary import Vary

log = logging.getLogger(__name__)

VIEWS = ViewSet(azimuth=0.0, elevation=15.0, fov=35.0, relative_distance=0.95, views=8)
IMAGE_SIZE = 128
OUTLINE_SIZE = 64
LEAST_SIZE = 0.33  # of a scene, for each of its things: the parts of smaller ones can't be judged
LEVEL = 12  # steps of gray between the numbers of a part map, so that rounding can't mix them up


def render_references(folder: Path) -> None:
    """Renders the held-out scenes and the outlines of all kinds into `folder`; what is there is replaced."""
    kinds = load_all()
    roles = {name: canonical_roles(kind) for name, kind in kinds.items()}
    scenes = held_out_scenes(kinds, kinds_to_rest_on(kinds), roles, lambda scene: large_enough(scene, kinds))
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*/transforms.json"):  # another choice of scenes has other folders
        shutil.rmtree(old.parent)
    (folder / "palette.json").write_text(json.dumps(COLORS, indent=1), encoding="utf-8")
    with ViewRenderer(IMAGE_SIZE, "WORKBENCH", file_format="WEBP") as renderer:
        for place, scene in enumerate(scenes):
            target = folder / f"{place:02d}-{slug(caption(scene))}"
            things = build_scene(scene, kinds, None)
            described = [{**asdict(thing), "front": kinds[thing.kind].front} for thing in scene.things]
            extra = {"things": described, "relation": scene.relation, "parts": part_table(scene, things)}
            renderer.render([t.object for t in things], target, caption(scene), [VIEWS], extra=extra)
            np.savez_compressed(target / "parts.npz", parts=part_maps(things))
            remove(things)
            log.info("%2d %s", place, caption(scene))
    render_outlines(folder / "silhouettes.npz", kinds)


def large_enough(scene: ToyScene, kinds: dict[str, Kind]) -> bool:
    """Whether every thing of the canonical scene is at least LEAST_SIZE of the largest side of the whole."""
    things = build_scene(scene, kinds, None)
    corners = []
    for thing in things:
        matrix = np.array(thing.object.matrix_world)
        corners.append(np.stack([thing.low, thing.high]) @ matrix[:3, :3].T + matrix[:3, 3])
    remove(things)
    whole = np.concatenate(corners)
    largest = (whole.max(0) - whole.min(0)).max()
    return min((low_high[1] - low_high[0]).max() for low_high in corners) >= LEAST_SIZE * largest


def render_outlines(path: Path, kinds: dict[str, Kind]) -> None:
    """Writes the outlines of every kind's canonical object from the cameras of the references."""
    masks = []
    for name in kinds:
        things = build_scene(ToyScene((Thing(name, "gray"),)), kinds, None)
        masks.append(_flat_images(things, OUTLINE_SIZE)[..., 3] > 0.5)
        remove(things)
    packed = np.packbits(np.stack(masks).reshape(len(masks), VIEWS.views, -1), axis=-1)
    np.savez_compressed(path, names=np.array(list(kinds)), masks=packed)


def canonical_roles(kind: Kind) -> list[str]:
    """Roles of the canonical object's parts."""
    builder = Builder()
    kind.build(builder, Vary())
    roles = list(builder.roles)
    builder.bm.free()
    return roles


def part_table(scene: ToyScene, things: Sequence[Built]) -> list[dict]:
    """What the numbers of the part maps mean: number, thing, role and palette colour of every part."""
    table: list[dict] = []
    for index, (thing, built) in enumerate(zip(scene.things, things, strict=True)):
        for role in built.roles:
            color = _color(thing, role)
            table.append({"number": len(table) + 1, "thing": index, "role": role, "color": color})
    return table


def part_maps(things: Sequence[Built]) -> np.ndarray:
    """(8, 128, 128) uint8: the number of the part at every pixel, 0 for background."""
    image = _flat_images(things, IMAGE_SIZE)
    numbers = np.rint(image[..., 0] * 255 / LEVEL).astype(np.uint8)
    return np.where(image[..., 3] > 0.5, numbers, 0).astype(np.uint8)


def slug(text: str) -> str:
    """A caption as part of a folder's name."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _flat_images(things: Sequence[Built], size: int) -> np.ndarray:
    """(8, size, size, 4) of 0..1: the k-th part of all things in the gray LEVEL * (k + 1) of 255."""
    with (
        ViewRenderer(size, "WORKBENCH") as renderer,
        _numbered(things),
        tempfile.TemporaryDirectory() as scratch,
    ):
        renderer.scene.display.shading.light = "FLAT"
        renderer.scene.display.render_aa = "OFF"
        renderer.scene.render.dither_intensity = 0.0
        folder = Path(scratch) / "parts"
        renderer.render([t.object for t in things], folder, "parts", [VIEWS])
        frames = json.loads((folder / "transforms.json").read_text(encoding="utf-8"))["frames"]
        return np.stack([_pixels(folder / frame["file_path"]) for frame in frames])


@contextmanager
def _numbered(things: Sequence[Built]) -> Iterator[None]:
    """Lends the parts a material of their number's gray."""
    before = [(slots, list(slots)) for slots in (t.object.data.materials for t in things)]
    made = []
    for slots, _ in before:
        for i in range(len(slots)):
            gray = LEVEL * (len(made) + 1) / 255
            slots[i] = bpy.data.materials.new(f"part {len(made)}")
            slots[i].diffuse_color = (*to_linear((gray,) * 3), 1.0)
            made.append(slots[i])
    if LEVEL * len(made) > 255:
        raise ValueError(f"{len(made)} parts are more than a part map can number")
    try:
        yield
    finally:
        for slots, materials in before:
            for i, material in enumerate(materials):
                slots[i] = material
        for material in made:
            bpy.data.materials.remove(material)


def _pixels(path: Path) -> np.ndarray:
    """(H, W, 4), the file's values over 255, row 0 at the top."""
    image = bpy.data.images.load(str(path))
    image.colorspace_settings.name = "Non-Color"
    width, height = image.size
    values = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(values)
    bpy.data.images.remove(image)
    return values.reshape(height, width, 4)[::-1]
