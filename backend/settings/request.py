# SPDX-License-Identifier: GPL-3.0-or-later
"""What every kind of job is asked: the prompts, the seed, the model, and where it computes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from backend.errors import UserError
from backend.settings.sentences import explain, shown

PROMPT_LENGTH = 1000
DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d{1,2})?")


class Strict(BaseModel):
    """Unknown names and values of another type are errors; nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Request(Strict):
    """The part of a job's settings that all kinds share.

    Raises:
        pydantic.ValidationError: `explain` makes a sentence of it, and `from_values` a UserError.
    """

    prompt: str = Field(max_length=PROMPT_LENGTH, description="what to make, for example 'a red mug'")
    negative_prompt: str | None = Field(
        None, max_length=PROMPT_LENGTH, description="what to keep away from; none given: the model's own"
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, description="same seed, same machine: same result")
    model: str = Field(
        "auto",
        max_length=1000,
        description="name of a model, or the folder of one; auto: the published one where it is installed and"
        " there is a GPU, else the small one",
    )
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
            raise UserError(explain(error, cls.model_fields)) from None

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

    @field_validator("device")
    @classmethod
    def _known_device(cls, value: str) -> str:
        if not DEVICE.fullmatch(value):
            raise ValueError(
                f"There is no device {value!r}. Devices: auto, cpu, cuda, cuda:N (such as cuda:0), mps."
            )
        return value
