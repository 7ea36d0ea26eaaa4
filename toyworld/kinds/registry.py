# SPDX-License-Identifier: GPL-3.0-or-later
"""What a kind is, and the list of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

KINDS: dict[str, "Kind"] = {}


@dataclass(frozen=True)
class Kind:
    """A kind of toy object.

    Args:
        name: the noun of the caption ("mug", "fire truck").
        build: draws it: `build(builder, vary)`.
        second: noun of the part with the second colour as it stands in a caption ("roof", "legs");
            None: one colour only.
        front: whether it has an unmistakable front (a face, a door, a dial), which must be at -Y and
            nowhere else.
        patterns: whether its main part may be striped, dotted or checkered.
        portable: whether it may stand on another object.
    """

    name: str
    build: Callable[[Any, Any], None]
    second: str | None = None
    front: bool = False
    patterns: bool = False
    portable: bool = True


def kind(
    name: str, second: str | None = None, front: bool = False, patterns: bool = False, portable: bool = True
) -> Callable[[Callable[[Any, Any], None]], Callable[[Any, Any], None]]:
    """Decorator that lists a build function as a kind."""

    def add(build: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
        if name in KINDS:
            raise ValueError(f"two kinds are called {name!r}")
        KINDS[name] = Kind(name, build, second, front, patterns, portable)
        return build

    return add
