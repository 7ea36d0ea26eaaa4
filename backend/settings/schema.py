# SPDX-License-Identifier: GPL-3.0-or-later
"""One schema of a generation's settings for command line, HTTP and panel."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, create_model, field_validator, model_validator

from backend.errors import UserError
from backend.settings.numbers import NUMBER_NAMES, Numbers
from backend.settings.presets import DEFAULT_PRESET, PRESETS
from backend.settings.request import Request, Strict


def _override(number: dataclasses.Field[Any]) -> tuple[Any, Any]:
    """A pydantic field for one of the recipe's numbers, None where the preset's is wanted."""
    facts = number.metadata
    if choices := facts.get("choices"):
        return Literal[choices] | None, Field(None, description=facts["help"])
    kind: Any = {"int": int, "float": float}.get(str(number.type), float)
    bounded = Annotated[kind, Field(ge=facts["low"], le=facts["high"])]
    if facts.get("pair"):
        # JSON has no tuples, and a strict schema takes no list for one.
        return Annotated[
            tuple[bounded, bounded] | None,
            BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value),
        ], Field(None, description=facts["help"])
    return bounded | None, Field(None, description=facts["help"])


if TYPE_CHECKING:

    class Overrides(Strict):
        """The numbers of the recipe a user may set."""
else:
    Overrides = create_model(
        "Overrides",
        __base__=Strict,
        **{number.name: _override(number) for number in dataclasses.fields(Numbers)},
    )


class GenerateSettings(Request, Overrides):
    """What a user can ask for. A number left at None is taken from the preset; `resolve` gives them all.

    Raises:
        pydantic.ValidationError: `explain` makes a sentence of it, and `from_values` a UserError.
    """

    preset: str = Field(DEFAULT_PRESET, description="recipe to start from")
    compile: bool = Field(
        False,
        description="networks by torch.compile instead of our own kernels: once, minutes before the first"
        " step; it needs a C++ compiler and Python's headers",
    )

    @field_validator("preset")
    @classmethod
    def _known_preset(cls, value: str) -> str:
        if value not in PRESETS:
            raise ValueError(f"There is no preset {value!r}. Presets: {', '.join(PRESETS)}.")
        return value

    @model_validator(mode="after")
    def _possible_together(self) -> Self:
        if getattr(self, "encoding", None) == "hash" and getattr(self, "variation", None):
            raise ValueError(
                'variation smooths dense grids: set encoding to "dense", or leave variation out.'
            )
        preset = PRESETS[self.preset]
        # Which of the two counts is known with the model: only what neither can be is refused here.
        complaints = [_complaint(self._over(numbers)) for numbers in (preset.numbers, preset.small)]
        if all(complaints):
            raise ValueError(complaints[0])
        return self

    def resolve(self, image_size: int) -> Numbers:
        """The preset's numbers for a model of that image size in pixels, the user's own in their place.

        Raises UserError where they are impossible together.
        """
        numbers = self._over(PRESETS[self.preset].numbers_for(image_size))
        numbers.check()
        return numbers

    def is_own(self, name: str) -> bool:
        """Whether a number is the user's own and not the preset's."""
        return getattr(self, name) is not None

    def _over(self, numbers: Numbers) -> Numbers:
        own = {name: getattr(self, name) for name in NUMBER_NAMES}
        return dataclasses.replace(
            numbers, **{name: value for name, value in own.items() if value is not None}
        )


def _complaint(numbers: Numbers) -> str:
    try:
        numbers.check()
    except UserError as error:
        return str(error)
    return ""
