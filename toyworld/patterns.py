# SPDX-License-Identifier: GPL-3.0-or-later
"""Stripes, checks and dots on the main part of a toy object, as geometry with its own role.

Cutting the mesh keeps the edges crisp in every render engine and needs no texture coordinates.
"""

import random

import bmesh
from mathutils import Vector

from .shapes import Builder, placement

ROLE = "pattern"
STRIPES = 7
CHECKS = 5
DOTS = 26


def apply(builder: Builder, pattern: str, rng: random.Random | None) -> None:
    """Gives every other stripe or check, or some dots, of the main part the role "pattern"."""
    builder.roles.append(ROLE)
    if pattern == "striped":
        _cut(builder, axes=(2,), parts=STRIPES)
    elif pattern == "checkered":
        _cut(builder, axes=(0, 1, 2), parts=CHECKS)
    elif pattern == "dotted":
        _dots(builder, rng or random.Random(0))
    else:
        raise ValueError(f"unknown pattern {pattern!r}")


def _main_faces(builder: Builder) -> list:
    main = builder.roles.index("main")
    return [face for face in builder.bm.faces if face.material_index == main]


def _cut(builder: Builder, axes: tuple[int, ...], parts: int) -> None:
    bm = builder.bm
    corners = [vertex.co for face in _main_faces(builder) for vertex in face.verts]
    low = [min(c[i] for c in corners) for i in range(3)]
    high = [max(c[i] for c in corners) for i in range(3)]
    pitch = max(high[i] - low[i] for i in axes) / parts
    middle = [(low[i] + high[i]) / 2 for i in range(3)]
    for axis in axes:
        normal = Vector([1.0 if i == axis else 0.0 for i in range(3)])
        steps = int((high[axis] - low[axis]) / pitch / 2) + 1
        for step in range(-steps, steps + 1):
            # planes half a pitch off the middle, so that a stripe is centred
            plane = Vector(middle) + normal * (step + 0.5) * pitch
            faces = _main_faces(builder)
            # dictionaries keep their order, sets would make the cuts depend on addresses in memory
            edges = dict.fromkeys(e for f in faces for e in f.edges)
            vertices = dict.fromkeys(v for f in faces for v in f.verts)
            bmesh.ops.bisect_plane(
                bm, geom=[*faces, *edges, *vertices], plane_co=plane, plane_no=normal, dist=1e-5
            )
    index = builder.roles.index(ROLE)
    for face in _main_faces(builder):
        center = face.calc_center_median()
        cells = sum(round((center[i] - middle[i]) / pitch) for i in axes)
        if cells % 2:
            face.material_index = index


def _dots(builder: Builder, rng: random.Random) -> None:
    faces = _main_faces(builder)
    builder.bm.normal_update()
    areas = [face.calc_area() for face in faces]
    size = max((v.co for f in faces for v in f.verts), key=lambda c: c.length).length
    chosen: list[tuple[Vector, Vector]] = []
    pool = [_point_on(rng, face) for face in rng.choices(faces, areas, k=400)]
    while len(chosen) < DOTS:  # farthest point sampling spreads the dots evenly
        best = max(pool, key=lambda p: min(((p[0] - c[0]).length for c in chosen), default=-p[0].z))
        chosen.append(best)
    for point, normal in chosen:
        flat = Vector((0, 0, 1)).rotation_difference(normal).to_matrix().to_4x4()
        dot = bmesh.ops.create_uvsphere(builder.bm, u_segments=12, v_segments=6, radius=0.085 * size)
        matrix = placement(at=point) @ flat @ placement(scale=(1, 1, 0.3))
        builder.finish(ROLE, {f for v in dot["verts"] for f in v.link_faces}, matrix)


def _point_on(rng: random.Random, face: bmesh.types.BMFace) -> tuple[Vector, Vector]:
    corner = rng.randrange(1, len(face.verts) - 1)
    a, b, c = face.verts[0].co, face.verts[corner].co, face.verts[corner + 1].co
    u, w = rng.random(), rng.random()
    if u + w > 1:
        u, w = 1 - u, 1 - w
    return a + u * (b - a) + w * (c - a), face.normal.copy()
