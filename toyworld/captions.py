# SPDX-License-Identifier: GPL-3.0-or-later
"""What a toy scene is, the words for it, and which combinations are never rendered for training."""

import hashlib
from dataclasses import dataclass

PATTERNS = ("striped", "dotted", "checkered")
RELATIONS = ("on", "next to")
HELD_OUT_ONE_IN = 8
UNCOUNTED = ("icing",)  # nouns of parts that take no article, beside the plurals


@dataclass(frozen=True)
class Thing:
    """One object: its kind, colours, and how its main part is finished.

    Args:
        kind: name of a kind.
        main: palette colour of the main part.
        second: palette colour of the second part (or of the pattern), None for a one-coloured object.
        part: noun of the second part ("roof"), None where `second` is None or belongs to a pattern.
        pattern: "striped", "dotted", "checkered" or None; the pattern alternates `main` and `second`.
        shiny: glossy instead of matt.
    """

    kind: str
    main: str
    second: str | None = None
    part: str | None = None
    pattern: str | None = None
    shiny: bool = False


@dataclass(frozen=True)
class ToyScene:
    """One thing, or two with a relation ("on", "next to")."""

    things: tuple[Thing, ...]
    relation: str | None = None


def with_article(words: str) -> str:
    """ "mug" -> "a mug", "orange mug" -> "an orange mug"."""
    return ("an " if words[0] in "aeiou" else "a ") + words


def thing_caption(thing: Thing) -> str:
    """The caption of one object, for instance "a purple house with a pink roof"."""
    adjectives = ["shiny"] if thing.shiny else []
    if thing.pattern:
        adjectives += [thing.pattern, thing.main, "and", str(thing.second)]
    else:
        adjectives += [thing.main]
    text = with_article(" ".join([*adjectives, thing.kind]))
    if thing.part:
        part = f"{thing.second} {thing.part}"
        bare = thing.part.endswith("s") or thing.part in UNCOUNTED
        text += f" with {part if bare else with_article(part)}"
    return text


def caption(scene: ToyScene) -> str:
    """The caption of a scene, for instance "a red mug on a blue table"."""
    first = thing_caption(scene.things[0])
    return first if scene.relation is None else f"{first} {scene.relation} {thing_caption(scene.things[1])}"


def held_out(scene: ToyScene) -> bool:
    """Whether a (kind, colours) combination of the scene is kept from training.

    One in eight, by the SHA-256 of the combination's own caption; shininess is not part of the combination.
    """
    return any(
        _hash(thing_caption(Thing(t.kind, t.main, t.second, t.part, t.pattern))) == 0 for t in scene.things
    )


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") % HELD_OUT_ONE_IN
