# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tests run in which environment."""

from dataclasses import dataclass, field
from pathlib import Path

from building.environments import ALL, BACKEND, BLENDERS, Environment
from building.errors import BuildError
from building.layout import ROOT


@dataclass(frozen=True)
class Suite:
    """Tests that run in one environment.

    Args:
        paths: files and folders in the checkout.
        ignored: those of their tests that belong to another suite.
    """

    environment: Environment
    paths: tuple[str, ...]
    ignored: tuple[str, ...] = field(default=())

    def chosen(self, arguments: list[str]) -> list[str] | None:
        """The paths to run for these arguments of pytest: those of `arguments` that are this suite's, or all.

        None: the arguments name paths, and none of them is this suite's.
        """
        named = [argument for argument in arguments if is_test_path(argument)]
        if not named:
            return list(self.paths)
        mine = [argument for argument in named if self._has(argument)]
        return mine or None

    def _has(self, argument: str) -> bool:
        place = _place(argument)
        inside = any(place.is_relative_to(ROOT / path) for path in self.paths)
        return inside and not any(place.is_relative_to(ROOT / path) for path in self.ignored)


BLENDER_TESTS = ("tests/mvdream_blender", "tests/toyworld")
SUITES = [
    Suite(BACKEND, ("tests",), BLENDER_TESTS),
    *(Suite(environment, BLENDER_TESTS) for environment in BLENDERS.values()),
]


def is_test_path(argument: str) -> bool:
    """Whether pytest's argument is a path ("tests/backend/test_cameras.py::test_orbit"), not an option."""
    place = _place(argument)
    # only below tests/: the value of `-k backend` is also the name of a folder
    return not argument.startswith("-") and place.exists() and ROOT / "tests" in (place, *place.parents)


def available() -> tuple[list[Environment], list[str]]:
    """The environments that this machine can have, and a sentence for each that it can't.

    Raises:
        BuildError: one is impossible that every machine must have.
    """
    chosen, skipped = [], []
    for environment in ALL.values():
        try:
            environment.interpreter()
        except BuildError as error:
            if environment.python == BACKEND.python:
                raise
            skipped.append(f"{environment.name} is skipped: {error}")
        else:
            chosen.append(environment)
    return chosen, skipped


def _place(argument: str) -> Path:
    return (ROOT / argument.split("::")[0]).resolve()
