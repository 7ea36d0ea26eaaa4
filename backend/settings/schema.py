# SPDX-License-Identifier: GPL-3.0-or-later
"""One schema of a generation's settings for command line, HTTP and panel."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)

from backend.errors import UserError
from backend.settings.numbers import NUMBER_NAMES, Numbers
from backend.settings.presets import DEFAULT_PRESET, PRESETS
from backend.settings.sentences import explain, shown

PROMPT_LENGTH = 1000
DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d{1,2})?")
PRECISIONS = ("auto", "bf16", "fp16", "fp32")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


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

    class Overrides(_Strict):
        """The numbers of the recipe a user may set."""
else:
    Overrides = create_model(
        "Overrides",
        __base__=_Strict,
        **{number.name: _override(number) for number in dataclasses.fields(Numbers)},
    )


class GenerateSettings(Overrides):
    """What a user can ask for. A number left at None is taken from the preset; `resolve` gives them all.

    Raises:
        pydantic.ValidationError: `explain` makes a sentence of it, and `from_values` a UserError.
    """

    prompt: str = Field(max_length=PROMPT_LENGTH, description="what to make, for example 'a red mug'")
    negative_prompt: str | None = Field(
        None, max_length=PROMPT_LENGTH, description="what to keep away from; none given: the model's own"
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, description="same seed, same machine: same mesh")
    model: str = Field(
        "auto",
        max_length=1000,
        description="name of a model, or the folder of one; auto: the published one where it is installed and"
        " there is a GPU, else the small one",
    )
    preset: str = Field(DEFAULT_PRESET, description="recipe to start from")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:N or mps")
    precision: Literal["auto", "bf16", "fp16", "fp32"] = Field(
        "auto", description="of the networks; auto: what the device is good at"
    )

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Self:
        """Checked settings from a plain mapping.

        Raises:
            UserError: a sentence that names what is wrong and what would be right.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise UserError(explain(error)) from None

    @field_validator("prompt", "negative_prompt", mode="before")
    @classmethod
    def _one_line(cls, value: object) -> object:
        """Line breaks and repeated blanks (a pasted prompt) mean nothing; control characters are dropped."""
        if not isinstance(value, str):
            return value
        return "".join(character for character in " ".join(value.split()) if character.isprintable())

    @field_validator("prompt")
    @classmethod
    def _not_empty(cls, value: str) -> str:
        if not value:
            raise ValueError('The prompt is empty: say what to make, for example "a red mug".')
        return value

    @field_validator("model")
    @classmethod
    def _model_named(cls, value: str) -> str:
        if not value.strip():
            raise ValueError('The model is empty: give a name such as "small", or the folder of a model.')
        if not value.isprintable():
            raise ValueError(f"The model {shown(value)} has characters no name or folder has.")
        return value.strip()

    @field_validator("preset")
    @classmethod
    def _known_preset(cls, value: str) -> str:
        if value not in PRESETS:
            raise ValueError(f"There is no preset {value!r}. Presets: {', '.join(PRESETS)}.")
        return value

    @field_validator("device")
    @classmethod
    def _known_device(cls, value: str) -> str:
        if not DEVICE.fullmatch(value):
            raise ValueError(
                f"There is no device {value!r}. Devices: auto, cpu, cuda, cuda:N (such as cuda:0), mps."
            )
        return value

    @model_validator(mode="after")
    def _possible_together(self) -> Self:
        if getattr(self, "encoding", None) == "hash" and getattr(self, "variation", None):
            raise ValueError(
                'variation smooths dense grids: set encoding to "dense", or leave variation out.'
            )
        preset = PRESETS[self.preset]
        for numbers in (preset.numbers, preset.small):
            try:
                self._over(numbers).check()
            except UserError as error:
                raise ValueError(str(error)) from None
        return self

    def resolve(self, image_size: int) -> Numbers:
        """The preset's numbers for a model of that image size in pixels, the user's own in their place."""
        return self._over(PRESETS[self.preset].numbers_for(image_size))

    def _over(self, numbers: Numbers) -> Numbers:
        own = {name: getattr(self, name) for name in NUMBER_NAMES}
        return dataclasses.replace(
            numbers, **{name: value for name, value in own.items() if value is not None}
        )
