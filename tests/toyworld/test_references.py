# SPDX-License-Identifier: GPL-3.0-or-later
"""The choice of held-out scenes, and part maps."""

import json
from pathlib import Path

import pytest

bpy = pytest.importorskip("bpy")

import numpy as np  # noqa: E402

from toyworld import references  # noqa: E402
from toyworld.captions import Thing, ToyScene, caption, held_out  # noqa: E402
from toyworld.compose import build_scene, remove  # noqa: E402
from toyworld.heldout import held_out_scenes  # noqa: E402


@pytest.fixture(scope="module")
def roles(kinds):
    return {name: references.canonical_roles(kind) for name, kind in kinds.items()}


def test_scenes_are_held_out_and_of_all_sorts(kinds, rests, roles):
    scenes = held_out_scenes(kinds, rests, roles)
    assert len({caption(scene) for scene in scenes}) == 50
    assert all(held_out(scene) for scene in scenes)
    singles = [scene.things[0] for scene in scenes if scene.relation is None]
    assert len({thing.kind for thing in singles}) == len(singles) == 40
    assert sum(kinds[thing.kind].front for thing in singles) == 18
    assert sum(thing.part is not None for thing in singles) == 20
    assert sum(thing.pattern is not None for thing in singles) == 5
    assert [scene.relation for scene in scenes[40:]] == ["on"] * 7 + ["next to"] * 3
    for scene in scenes:
        for thing in scene.things:
            assert not thing.shiny
            assert not {thing.main, thing.second} & set(roles[thing.kind])


def test_same_seed_same_scenes(kinds, rests, roles):
    first = held_out_scenes(kinds, rests, roles)
    assert first == held_out_scenes(kinds, rests, roles)
    assert first != held_out_scenes(kinds, rests, roles, seed="another")


def test_small_things_are_told(kinds):
    large = ToyScene((Thing("mug", "red"), Thing("table", "blue")), "next to")
    small = ToyScene((Thing("airplane", "red"), Thing("bench", "blue")), "on")
    assert references.large_enough(large, kinds)
    assert not references.large_enough(small, kinds)


def test_part_maps_number_every_part(kinds):
    scene = ToyScene((Thing("mug", "red", "blue", "handle"), Thing("table", "lime", "pink", "legs")), "on")
    things = build_scene(scene, kinds, None)
    table = references.part_table(scene, things)
    before = [[material.name for material in thing.object.data.materials] for thing in things]
    maps = references.part_maps(things)
    after = [[material.name for material in thing.object.data.materials] for thing in things]
    remove(things)
    assert [(part["number"], part["thing"], part["role"], part["color"]) for part in table] == [
        (1, 0, "main", "red"),
        (2, 0, "second", "blue"),
        (3, 1, "second", "pink"),
        (4, 1, "main", "lime"),
    ]
    assert before == after
    assert maps.shape == (8, 128, 128)
    assert set(np.unique(maps)) == {0, 1, 2, 3, 4}

    def column(number, view):
        return np.nonzero(maps[view] == number)[1].mean()

    def row(number, view):
        return np.nonzero(maps[view] == number)[0].mean()

    for view in range(8):  # mug above the table's top above its legs
        assert row(1, view) < row(4, view) < row(3, view)
    # the handle is at +X: right in front, left from behind, in the middle or hidden from the sides
    assert column(2, 0) > column(1, 0) + 5
    assert column(2, 4) < column(1, 4) - 5


def test_slug():
    assert references.slug("A red mug, on a table!") == "a-red-mug-on-a-table"


def test_references_in_the_repository_are_this_choice(kinds, rests, roles):
    folder = Path(__file__).parents[2] / "backend" / "evaluation" / "heldout"
    stored = [json.loads(path.read_text())["caption"] for path in sorted(folder.glob("*/transforms.json"))]
    scenes = held_out_scenes(kinds, rests, roles, lambda scene: references.large_enough(scene, kinds))
    assert [caption(scene) for scene in scenes] == stored
