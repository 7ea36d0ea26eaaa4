# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders random toy scenes into a dataset folder through the add-on's own renderer."""

import logging
import random
import time
from pathlib import Path

from mvdream_blender.dataset import OBJECT_RADIUS, ViewRenderer, ViewSet

from .captions import caption
from .compose import build_scene, remove
from .kinds import Kind, load_all
from .sampling import random_scene
from .shapes import Builder
from .vary import Vary

log = logging.getLogger(__name__)

FOV = (20.0, 45.0)
RELATIVE_DISTANCE = (0.9, 1.0)
SIZE = (0.93, 1.0)  # of the largest bounding sphere
MOSTLY_LEVEL = 0.75  # the rest looks down from higher, so that the model knows the insides of vessels


def kinds_to_rest_on(kinds: dict[str, Kind]) -> set[str]:
    """Names of the kinds with a place on which another object can stand."""
    found = set()
    for name, kind in kinds.items():
        builder = Builder()
        kind.build(builder, Vary())
        if builder.rest_height is not None:
            found.add(name)
        builder.bm.free()
    return found


def random_view_set(rng: random.Random) -> ViewSet:
    """Four orthogonal views as the shipped model is trained on."""
    elevation = rng.uniform(-5, 35) if rng.random() < MOSTLY_LEVEL else rng.uniform(35, 70)
    return ViewSet(rng.uniform(0, 360), elevation, rng.uniform(*FOV), rng.uniform(*RELATIVE_DISTANCE))


def render_training_set(
    folder: Path,
    start: int,
    count: int,
    sets: int = 1,
    seed: int = 0,
    image_size: int = 128,
    engine: str = "WORKBENCH",
) -> None:
    """Renders scenes `start` to `start + count` of the endless sequence that `seed` defines.

    Scenes that are there already are skipped, so an interrupted run goes on and several processes can share
    the work.
    """
    kinds = load_all()
    rests = kinds_to_rest_on(kinds)
    began = time.monotonic()
    with ViewRenderer(image_size, engine, file_format="WEBP") as renderer:
        for done, index in enumerate(range(start, start + count)):
            target = folder / f"{index:06d}"
            if target.exists():
                continue
            rng = random.Random(f"{seed}/{index}")
            scene = random_scene(rng, kinds, rests)
            things = build_scene(scene, kinds, rng)
            size = rng.uniform(*SIZE) * OBJECT_RADIUS
            views = [random_view_set(rng) for _ in range(sets)]
            extra = {"kinds": [t.kind for t in scene.things], "seed": f"{seed}/{index}"}
            renderer.render([t.object for t in things], target, caption(scene), views, size, extra)
            remove(things)
            if done % 200 == 199:
                rate = (done + 1) / (time.monotonic() - began)
                log.info(
                    "%d/%d scenes, %.1f a second, %.0f min left",
                    done + 1,
                    count,
                    rate,
                    (count - done - 1) / rate / 60,
                )
