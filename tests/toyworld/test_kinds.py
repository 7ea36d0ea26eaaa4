# SPDX-License-Identifier: GPL-3.0-or-later
"""Every kind builds, canonical and varied."""

import random

import pytest

bpy = pytest.importorskip("bpy")

import numpy as np  # noqa: E402

from mvdream_blender.dataset import OBJECT_RADIUS, bounding_sphere  # noqa: E402
from toyworld import patterns  # noqa: E402
from toyworld.captions import PATTERNS, Thing  # noqa: E402
from toyworld.compose import build_thing, remove  # noqa: E402
from toyworld.kinds import registry  # noqa: E402
from toyworld.palette import COLORS  # noqa: E402


def points(built):
    mesh = built.object.data
    values = np.empty(3 * len(mesh.vertices), np.float32)
    mesh.vertices.foreach_get("co", values)
    return values.reshape(-1, 3)


def test_enough_kinds_fronts_and_patterns(kinds):
    assert len(kinds) >= 60
    assert sum(kind.front for kind in kinds.values()) >= 15
    assert sum(kind.second is not None for kind in kinds.values()) >= 40
    assert sum(kind.patterns for kind in kinds.values()) >= 8
    assert all(name == kind.name for name, kind in kinds.items())


def test_two_kinds_of_one_name_are_refused(kinds):
    with pytest.raises(ValueError, match="two kinds are called 'mug'"):
        registry.kind("mug")(lambda builder, vary: None)


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_every_kind_builds_upright_and_finite(kinds, seed):
    for name, kind in kinds.items():
        part = kind.second
        thing = Thing(name, "red", "blue" if part else None, part)
        built = build_thing(thing, kind, None if seed is None else random.Random(f"{seed}/{name}"))
        cloud = points(built)
        assert np.isfinite(cloud).all(), name
        assert cloud[:, 2].min() == pytest.approx(0, abs=1e-4), name
        assert (cloud.max(0) - cloud.min(0)).max() == pytest.approx(1, abs=1e-4), name
        assert cloud.min(0) == pytest.approx(built.low, abs=1e-4), name
        assert cloud.max(0) == pytest.approx(built.high, abs=1e-4), name
        assert "main" in built.roles, name
        assert ("second" in built.roles) == (part is not None), name
        assert all(role in ("main", "second") or role in COLORS for role in built.roles), name
        used = {polygon.material_index for polygon in built.object.data.polygons}
        assert used == set(range(len(built.roles))), name
        remove([built])


def test_scaled_to_the_sphere_no_vertex_lies_outside(kinds):
    built = build_thing(Thing("car", "red"), kinds["car"], None)
    center, size = bounding_sphere([built.object])
    scaled = (points(built) - np.array(center)) * OBJECT_RADIUS / size
    assert np.linalg.norm(scaled, axis=1).max() == pytest.approx(OBJECT_RADIUS, abs=1e-4)
    remove([built])


def same_places(first, second):
    """Whether two objects have vertices at the same places; Blender's bevel numbers them as it likes."""
    a, b = points(first), points(second)
    apart = np.linalg.norm(a[:, None] - b[None], axis=2)
    return len(a) == len(b) and apart.min(0).max() < 1e-5 and apart.min(1).max() < 1e-5


def test_canonical_objects_are_always_the_same_and_varied_ones_are_not(kinds):
    for name in ("mug", "robot", "tree"):
        first, second = (build_thing(Thing(name, "red"), kinds[name], None) for _ in range(2))
        varied = build_thing(Thing(name, "red"), kinds[name], random.Random(0))
        again = build_thing(Thing(name, "red"), kinds[name], random.Random(0))
        assert same_places(first, second)
        assert same_places(varied, again)
        assert not same_places(varied, first)
        remove([first, second, varied, again])


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_cover_a_fair_share_of_the_main_part(kinds, pattern):
    for name in ("ball", "mug", "umbrella"):
        built = build_thing(Thing(name, "red", "white", pattern=pattern), kinds[name], None)
        area = dict.fromkeys(built.roles, 0.0)
        for polygon in built.object.data.polygons:
            area[built.roles[polygon.material_index]] += polygon.area
        share = area[patterns.ROLE] / (area[patterns.ROLE] + area["main"])
        assert 0.1 < share < 0.7, (name, share)
        remove([built])


def test_fronts_are_at_minus_y(kinds):
    # what is of a fixed colour on a face or a screen lies nearer to the viewer in front than behind
    for name in ("clock", "television", "washing machine", "ghost", "snowman", "robot", "penguin"):
        kind = kinds[name]
        built = build_thing(Thing(name, "red", "blue" if kind.second else None, kind.second), kind, None)
        mesh, cloud = built.object.data, points(built)
        role = "black" if "black" in built.roles else "second"
        faces = [p for p in mesh.polygons if built.roles[p.material_index] == role]
        center = np.mean([p.center[1] for p in faces])
        assert center < (cloud[:, 1].min() + cloud[:, 1].max()) / 2, name
        remove([built])
