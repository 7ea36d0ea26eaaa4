# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the Blender objects of a toy scene."""

import random
from dataclasses import dataclass

import bpy
import numpy as np
from mathutils import Matrix

from . import patterns
from .captions import Thing, ToyScene
from .kinds import Kind
from .materials import material
from .shapes import Builder
from .vary import Vary

GAP = 0.08  # between things that stand next to each other, largest side = 1
ON_SIZE = 0.62  # size of the upper thing, largest side of the lower = 1


@dataclass
class Built:
    """One finished object and what the composition needs to know.

    Args:
        object: the Blender object; its mesh stands on z = 0 with a largest side of 1.
        roles: role of each material slot.
        low, high: corners of its bounding box.
        rest: (x, y, z, radius) of the surface something can stand on, or None.
    """

    object: bpy.types.Object
    roles: list[str]
    low: np.ndarray
    high: np.ndarray
    rest: tuple[float, float, float, float] | None


def build_scene(scene: ToyScene, kinds: dict[str, Kind], rng: random.Random | None) -> list[Built]:
    """Builds and places the one or two objects of a scene (not linked to any collection).

    Args:
        scene: what to build.
        kinds: all kinds by name.
        rng: draws the proportions; None builds the canonical scene.
    """
    things = [build_thing(thing, kinds[thing.kind], rng) for thing in scene.things]
    vary = Vary(rng)
    if scene.relation == "on":
        upper, lower = things
        if lower.rest is None:
            raise ValueError(f"nothing can stand on a {scene.things[1].kind}")
        x, y, z, radius = lower.rest
        widest = float(max(upper.high[0] - upper.low[0], upper.high[1] - upper.low[1]))
        size = min(vary(ON_SIZE), 2.3 * radius / widest)
        center = (upper.low + upper.high) / 2 * size
        upper.object.matrix_world = Matrix.Translation(
            (x - center[0], y - center[1], z - 0.01)
        ) @ Matrix.Scale(size, 4)
    elif scene.relation == "next to":
        left, right = things
        gap = vary(GAP)
        left.object.matrix_world = Matrix.Translation((-gap / 2 - left.high[0], 0, 0))
        right.object.matrix_world = Matrix.Translation((gap / 2 - right.low[0], 0, 0))
    return things


def build_thing(thing: Thing, kind: Kind, rng: random.Random | None) -> Built:
    """Builds one object standing on z = 0, its largest side 1, with its materials."""
    builder = Builder()
    kind.build(builder, Vary(rng))
    if thing.pattern:
        patterns.apply(builder, thing.pattern, rng)
    roles = list(builder.roles)
    rest, radius, rest_center = builder.rest_height, builder.rest_radius, builder.rest_center
    mesh = builder.to_mesh(thing.kind)
    points = np.empty(3 * len(mesh.vertices), np.float32)
    mesh.vertices.foreach_get("co", points)
    points = points.reshape(-1, 3)
    low, high = points.min(0), points.max(0)
    scale = 1.0 / float((high - low).max())
    mesh.transform(Matrix.Scale(scale, 4) @ Matrix.Translation((0, 0, -float(low[2]))))
    for role in roles:
        mesh.materials.append(
            material(_color(thing, role), thing.shiny and role in ("main", "second", patterns.ROLE))
        )
    shift = np.array([0, 0, low[2]])
    place = None
    if rest is not None:
        place = (
            rest_center[0] * scale,
            rest_center[1] * scale,
            (rest - float(low[2])) * scale,
            radius * scale,
        )
    return Built(
        bpy.data.objects.new(thing.kind, mesh), roles, (low - shift) * scale, (high - shift) * scale, place
    )


def remove(things: list[Built]) -> None:
    """Deletes the objects and meshes of a scene."""
    for thing in things:
        mesh = thing.object.data
        bpy.data.objects.remove(thing.object)
        bpy.data.meshes.remove(mesh)


def _color(thing: Thing, role: str) -> str:
    if role == "main":
        return thing.main
    if role == patterns.ROLE:
        return str(thing.second)
    if role == "second":
        return thing.second if thing.part else thing.main  # type: ignore[return-value]
    return role
