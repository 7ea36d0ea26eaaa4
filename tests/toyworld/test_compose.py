# SPDX-License-Identifier: GPL-3.0-or-later
"""Two things in one scene stand where their relation says."""

import random

import pytest

bpy = pytest.importorskip("bpy")

import numpy as np  # noqa: E402

from toyworld.captions import Thing, ToyScene  # noqa: E402
from toyworld.compose import ON_SIZE, build_scene, build_thing, remove  # noqa: E402


def placed(built):
    matrix = np.array(built.object.matrix_world)
    points = np.array([vertex.co for vertex in built.object.data.vertices])
    return points @ matrix[:3, :3].T + matrix[:3, 3]


@pytest.mark.parametrize("seed", [None, 3])
def test_upper_thing_stands_on_the_rest_surface(kinds, rests, seed):
    assert len(rests) >= 8
    for lower in sorted(rests):
        scene = ToyScene((Thing("apple" if lower != "apple" else "mug", "red"), Thing(lower, "blue")), "on")
        upper, below = build_scene(scene, kinds, None if seed is None else random.Random(seed))
        cloud = placed(upper)
        x, y, z, radius = below.rest
        assert cloud[:, 2].min() == pytest.approx(z, abs=0.02), lower
        center = (cloud.min(0) + cloud.max(0)) / 2
        assert center[:2] == pytest.approx([x, y], abs=1e-3), lower
        size = cloud.max(0) - cloud.min(0)
        assert size.max() <= ON_SIZE * 1.1 + 1e-4, lower
        assert max(size[0], size[1]) <= 2.3 * radius + 1e-4, lower
        assert placed(below)[:, 2].min() == pytest.approx(0, abs=1e-4), lower
        remove([upper, below])


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_things_next_to_each_other_do_not_touch(kinds, seed):
    for left, right in (("mug", "table"), ("airplane", "robot"), ("ball", "tree")):
        scene = ToyScene((Thing(left, "red"), Thing(right, "blue")), "next to")
        first, second = build_scene(scene, kinds, None if seed is None else random.Random(seed))
        a, b = placed(first), placed(second)
        assert 0.05 < b[:, 0].min() - a[:, 0].max() < 0.1  # the named first one is on the left
        assert a[:, 2].min() == pytest.approx(0, abs=1e-4)
        assert b[:, 2].min() == pytest.approx(0, abs=1e-4)
        remove([first, second])


def test_nothing_stands_on_a_ball(kinds):
    with pytest.raises(ValueError, match="nothing can stand on a ball"):
        build_scene(ToyScene((Thing("mug", "red"), Thing("ball", "blue")), "on"), kinds, None)


def test_colours_go_to_their_parts(kinds):
    def materials(thing):
        built = build_thing(thing, kinds[thing.kind], None)
        found = dict(zip(built.roles, (m.name for m in built.object.data.materials), strict=True))
        remove([built])
        return found

    assert materials(Thing("mug", "red", "blue", "handle")) == {"main": "toy red", "second": "toy blue"}
    assert materials(Thing("mug", "red")) == {"main": "toy red", "second": "toy red"}
    assert materials(Thing("mug", "red", "blue", pattern="striped")) == {
        "main": "toy red",
        "second": "toy red",
        "pattern": "toy blue",
    }
    assert materials(Thing("mug", "red", shiny=True))["main"] == "toy red shiny"
    assert materials(Thing("ghost", "red"))["black"] == "toy black"


def test_removed_scenes_leave_nothing(kinds):
    before = len(bpy.data.objects), len(bpy.data.meshes)
    remove(build_scene(ToyScene((Thing("mug", "red"), Thing("table", "blue")), "on"), kinds, None))
    assert (len(bpy.data.objects), len(bpy.data.meshes)) == before
