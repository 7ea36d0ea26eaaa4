# SPDX-License-Identifier: GPL-3.0-or-later
"""Random scenes: held-out combinations never come up, and a seed is a scene."""

import random

import pytest

from toyworld.captions import PATTERNS, ToyScene, caption, held_out
from toyworld.kinds.registry import Kind
from toyworld.sampling import COMPOSED, random_scene


def _nothing(builder, vary):
    raise AssertionError("sampling builds nothing")


SOME = {
    "mug": Kind("mug", _nothing, second="handle", patterns=True),
    "table": Kind("table", _nothing, second="legs", portable=False),
    "ball": Kind("ball", _nothing, patterns=True),
    "robot": Kind("robot", _nothing, second="arms", front=True),
}
RESTS = {"table", "mug"}


@pytest.fixture(scope="module")
def scenes():
    rng = random.Random(0)
    return [random_scene(rng, SOME, RESTS) for _ in range(3000)]


def test_same_seed_same_scenes():
    first, second = (
        [random_scene(random.Random(f"7/{i}"), SOME, RESTS) for i in range(20)] for _ in range(2)
    )
    assert first == second
    assert len({caption(scene) for scene in first}) > 15


def test_no_held_out_thing_is_ever_drawn(scenes):
    for scene in scenes:
        assert not held_out(scene)
        assert not any(held_out(ToyScene((thing,))) for thing in scene.things)


def test_held_out_scenes_can_be_asked_for():
    rng = random.Random(0)
    for _ in range(20):
        assert held_out(random_scene(rng, SOME, RESTS, held_out))


def test_all_sorts_come_up(scenes):
    share = sum(scene.relation is not None for scene in scenes) / len(scenes)
    # two things are held out more often than one, so fewer compositions are left
    assert COMPOSED - 0.07 < share < COMPOSED + 0.03
    assert {scene.relation for scene in scenes} == {None, "on", "next to"}
    things = [thing for scene in scenes for thing in scene.things]
    assert {thing.kind for thing in things} == set(SOME)
    assert {thing.pattern for thing in things} == {None, *PATTERNS}
    assert any(thing.shiny for thing in things)
    assert any(thing.part for thing in things)


def test_scenes_make_sense(scenes):
    for scene in scenes:
        for thing in scene.things:
            kind = SOME[thing.kind]
            assert thing.second != thing.main
            assert (thing.second is not None) == bool(thing.part or thing.pattern)
            assert not (thing.part and thing.pattern)
            assert thing.part in (None, kind.second)
            assert kind.patterns or thing.pattern is None
        if scene.relation == "on":
            upper, lower = scene.things
            assert SOME[upper.kind].portable
            assert lower.kind in RESTS
        if scene.relation:
            assert scene.things[0].kind != scene.things[1].kind
