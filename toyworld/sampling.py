# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws random toy scenes. Needs nothing of Blender but the list of kinds."""

import random
from collections.abc import Callable

from .captions import PATTERNS, RELATIONS, Thing, ToyScene, held_out
from .kinds.registry import Kind
from .palette import COLORS

# Shares chosen so that two-coloured objects, where colours leak most easily, are as common as plain ones.
COMPOSED = 0.25
ON = 0.6
TWO_COLORS = 0.5
TWO_COLORS_COMPOSED = 0.25
PATTERNED = 0.2
SHINY = 0.06


def random_scene(
    rng: random.Random,
    kinds: dict[str, Kind],
    rests: set[str],
    accept: Callable[[ToyScene], bool] = lambda s: not held_out(s),
) -> ToyScene:
    """A random scene that `accept` takes; by default one that may be used for training.

    Args:
        rng: source of randomness.
        kinds: all kinds by name.
        rests: names of the kinds on which something can stand.
        accept: filter; drawing goes on until it says yes.
    """
    while True:
        scene = _draw(rng, kinds, rests)
        if accept(scene):
            return scene


def _draw(rng: random.Random, kinds: dict[str, Kind], rests: set[str]) -> ToyScene:
    names = sorted(kinds)
    if rng.random() >= COMPOSED:
        return ToyScene((_thing(rng, kinds[rng.choice(names)], TWO_COLORS, PATTERNED),))
    relation = RELATIONS[0] if rng.random() < ON else RELATIONS[1]
    if relation == "on":
        first = rng.choice([n for n in names if kinds[n].portable])
        second = rng.choice([n for n in names if n in rests and n != first])
    else:
        first, second = rng.sample(names, 2)
    things = tuple(_thing(rng, kinds[n], TWO_COLORS_COMPOSED, 0.0) for n in (first, second))
    return ToyScene(things, relation)


def _thing(rng: random.Random, kind: Kind, two_colors: float, patterned: float) -> Thing:
    main, second = rng.sample(list(COLORS), 2)
    shiny = rng.random() < SHINY
    if kind.patterns and rng.random() < patterned:
        return Thing(kind.name, main, second, pattern=rng.choice(PATTERNS), shiny=shiny)
    if kind.second and rng.random() < two_colors:
        return Thing(kind.name, main, second, part=kind.second, shiny=shiny)
    return Thing(kind.name, main, shiny=shiny)
