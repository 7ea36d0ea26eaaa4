# SPDX-License-Identifier: GPL-3.0-or-later
"""Chooses the held-out prompts that evaluation asks for. Needs nothing of Blender but the list of kinds."""

import random
from collections.abc import Callable, Mapping

from .captions import ToyScene, held_out
from .kinds.registry import Kind
from .palette import COLORS
from .sampling import random_scene

SEED = "held-out prompts/0"
SINGLES = 40
TWO_COLORED = 20  # of the singles
PATTERNED = 5
FRONTS = 18
ON = 7
NEXT_TO = 3
TRIES = 50_000  # draws for one scene before the choice starts again
ATTEMPTS = 20
LEAST_DISTANCE = 0.35  # sRGB, between the colours of one scene: nearer ones can't be told apart in the shade


def held_out_scenes(
    kinds: Mapping[str, Kind],
    rests: set[str],
    roles: Mapping[str, list[str]],
    large_enough: Callable[[ToyScene], bool] = lambda scene: True,
    seed: str = SEED,
) -> list[ToyScene]:
    """50 scenes no model was trained on: 40 single objects of 40 kinds, 7 "X on Y", 3 "X next to Y".

    Args:
        kinds: all kinds by name.
        rests: names of the kinds on which something can stand.
        roles: roles of every kind's canonical object; the palette colours among them never change.
        large_enough: whether all things of a composition are large enough to be judged; asked last.
        seed: of the draw.

    Raises:
        ValueError: the kinds have too few scenes of a sort.
    """
    chosen: list[ToyScene] = []
    for relation, count in ((None, SINGLES), ("on", ON), ("next to", NEXT_TO)):
        for attempt in range(ATTEMPTS):
            rng = random.Random(f"{seed}/{relation}" + "+" * attempt)
            try:
                chosen += _draw(rng, relation, count, chosen, kinds, rests, roles, large_enough)
                break
            except _DeadEnd:
                continue
        else:
            raise ValueError(
                f"{count} held-out scenes of the sort {relation!r} can't be found among these kinds"
            )
    order = {None: 0, "on": 1, "next to": 2}
    return sorted(chosen, key=lambda scene: (order[scene.relation], [thing.kind for thing in scene.things]))


class _DeadEnd(Exception):
    """What was chosen so far leaves no scene of the sort that is still missing."""


def _draw(
    rng: random.Random,
    relation: str | None,
    count: int,
    before: list[ToyScene],
    kinds: Mapping[str, Kind],
    rests: set[str],
    roles: Mapping[str, list[str]],
    large_enough: Callable[[ToyScene], bool],
) -> list[ToyScene]:
    chosen: list[ToyScene] = []
    tried = 0

    def wanted(scene: ToyScene) -> bool:
        nonlocal tried
        tried += 1
        if tried > TRIES:
            raise _DeadEnd
        if scene.relation != relation or not held_out(scene) or not _can_be_judged(scene, kinds, roles):
            return False
        return _fills_a_place(scene, [*before, *chosen], kinds) and (relation is None or large_enough(scene))

    while len(chosen) < count:
        tried = 0
        chosen.append(random_scene(rng, dict(kinds), rests, wanted))
    return chosen


def _can_be_judged(scene: ToyScene, kinds: Mapping[str, Kind], roles: Mapping[str, list[str]]) -> bool:
    """Whether every part could be told from the others by its colour."""
    if any(thing.shiny for thing in scene.things):
        return False
    colors = [color for thing in scene.things for color in (thing.main, thing.second) if color]
    if any(_near(a, b) for i, a in enumerate(colors) for b in colors[:i]):
        return False
    for thing in scene.things:
        fixed = [role for role in roles[thing.kind] if role in COLORS]
        if any(_near(fix, color) for fix in fixed for color in (thing.main, thing.second) if color):
            return False
        # a front made of the second part only shows where that part has its own colour
        if kinds[thing.kind].front and kinds[thing.kind].second and not fixed and not thing.part:
            return False
    return True


def _near(a: str, b: str) -> bool:
    return sum((x - y) ** 2 for x, y in zip(COLORS[a], COLORS[b], strict=True)) ** 0.5 < LEAST_DISTANCE


def _fills_a_place(scene: ToyScene, chosen: list[ToyScene], kinds: Mapping[str, Kind]) -> bool:
    """Whether the scene is of a sort that is still missing, and of kinds not seen yet in that sort."""
    names = {thing.kind for thing in scene.things}
    alike = [other for other in chosen if (other.relation is None) == (scene.relation is None)]
    if any(thing.kind in names for other in alike for thing in other.things):
        return False
    same = [other for other in chosen if other.relation == scene.relation]
    if scene.relation is not None:
        return True
    thing = scene.things[0]
    front = kinds[thing.kind].front
    fronts = sum(kinds[other.things[0].kind].front for other in same)
    if (fronts if front else len(same) - fronts) >= (FRONTS if front else SINGLES - FRONTS):
        return False
    sorts = [_sort(other) for other in same]
    room = {"two": TWO_COLORED, "patterned": PATTERNED, "plain": SINGLES - TWO_COLORED - PATTERNED}
    return sorts.count(_sort(scene)) < room[_sort(scene)]


def _sort(scene: ToyScene) -> str:
    thing = scene.things[0]
    return "patterned" if thing.pattern else "two" if thing.part else "plain"
