# SPDX-License-Identifier: GPL-3.0-or-later
"""One schema of a generation's settings for command line, HTTP and panel, and the presets that fill it."""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails

from backend.errors import UserError

PROMPT_LENGTH = 300
VIEWS_PER_SET = 4
DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d{1,2})?")


@dataclass(frozen=True)
class Numbers:
    """The concrete numbers one generation runs with: a preset's, with the user's own in their place.

    Args:
        steps: optimisation steps of score distillation.
        guidance_scale: strength of classifier-free guidance (w of the paper, section 3).
        guidance_rescale: share of the CFG rescale in the target, 0..1 (0.5 in the paper).
        views_per_step: pictures rendered a step, a multiple of 4 (the model joins 4 views of one object).
        render_size: edge of a rendered view in pixels; upsampled to the model's own size.
        samples_per_ray: points at most on a ray.
        mesh_resolution: cells along an edge of the grid the surface is extracted from.
        faces: triangles at most in the mesh.
        texture_size: edge of the texture in pixels.
        preview_every: steps between two previews, 0 for none.
        checkpoint_every: steps between two checkpoints, 0 for none.
    """

    steps: int
    guidance_scale: float
    guidance_rescale: float
    views_per_step: int
    render_size: int
    samples_per_ray: int
    mesh_resolution: int
    faces: int
    texture_size: int
    preview_every: int
    checkpoint_every: int


@dataclass(frozen=True)
class Preset:
    """A named set of numbers. `title` and `description` are what the panel shows."""

    title: str
    description: str
    numbers: Numbers


_STANDARD = Numbers(
    steps=240,
    guidance_scale=6.0,
    guidance_rescale=0.5,
    views_per_step=4,
    render_size=32,
    samples_per_ray=48,
    mesh_resolution=96,
    faces=10_000,
    texture_size=1024,
    preview_every=25,
    checkpoint_every=50,
)

PRESETS: dict[str, Preset] = {
    "draft": Preset(
        "Draft", "Half the steps: the shape and the colours, quickly", replace(_STANDARD, steps=120)
    ),
    "standard": Preset(
        "Standard", "The whole way: what the shipped model is meant to be used with", _STANDARD
    ),
}
DEFAULT_PRESET = "standard"


class GenerateSettings(BaseModel):
    """What a user can ask for. A number left at None is taken from the preset; `resolve` gives them all.

    Raises:
        pydantic.ValidationError: `explain` makes a sentence of it, and `from_values` a UserError.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    prompt: str = Field(max_length=PROMPT_LENGTH, description="what to make, for example 'a red mug'")
    negative_prompt: str = Field("", max_length=PROMPT_LENGTH, description="what to keep away from")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="same seed, same machine: same mesh")
    model: str = Field("small", max_length=1000, description="name of a model, or the folder of one")
    preset: str = Field(DEFAULT_PRESET, description="set of numbers to start from")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:N or mps")

    steps: Annotated[int | None, Field(ge=10, le=20_000)] = None
    guidance_scale: Annotated[float | None, Field(ge=0, le=200)] = None
    guidance_rescale: Annotated[float | None, Field(ge=0, le=1)] = None
    views_per_step: Annotated[int | None, Field(ge=4, le=32)] = None
    render_size: Annotated[int | None, Field(ge=16, le=256)] = None
    samples_per_ray: Annotated[int | None, Field(ge=8, le=512)] = None
    mesh_resolution: Annotated[int | None, Field(ge=32, le=256)] = None
    faces: Annotated[int | None, Field(ge=100, le=200_000)] = None
    texture_size: Annotated[int | None, Field(ge=64, le=4096)] = None
    preview_every: Annotated[int | None, Field(ge=0, le=20_000)] = None
    checkpoint_every: Annotated[int | None, Field(ge=0, le=20_000)] = None

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> "GenerateSettings":
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
            raise ValueError(f"The model {_shown(value)} has characters no name or folder has.")
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

    @field_validator("views_per_step")
    @classmethod
    def _whole_sets(cls, value: int | None) -> int | None:
        if value is not None and value % VIEWS_PER_SET:
            raise ValueError(
                f"views_per_step must be a multiple of {VIEWS_PER_SET}, the views of a set; {value} is not."
            )
        return value

    def resolve(self) -> Numbers:
        """The preset's numbers with the user's own in their place."""
        base = PRESETS[self.preset].numbers
        own = {name: getattr(self, name) for name in asdict(base)}
        return replace(base, **{name: value for name, value in own.items() if value is not None})


NUMBER_NAMES: tuple[str, ...] = tuple(field.name for field in fields(Numbers))

_TYPES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "string_type": "a text",
    "string_unicode": "a text of valid Unicode characters",
    "finite_number": "a finite number",
    "dict_type": "an object with named values",
    "model_type": "an object with named values",
    "model_attributes_type": "an object with named values",
    "dataclass_type": "an object with named values",
}


def explain(error: ValidationError) -> str:
    """A ValidationError as plain sentences that name the input and the way out; at most three of them."""
    return explain_errors(error.errors())


def explain_errors(errors: Iterable[ErrorDetails | Mapping[str, Any]]) -> str:
    """As `explain`, for the list of errors that pydantic and FastAPI hand out."""
    return " ".join(dict.fromkeys(_sentence(error) for error in list(errors)[:3]))


def _sentence(error: Mapping[str, Any]) -> str:
    kind = error["type"]
    context = error.get("ctx", {})
    names = [str(part) for part in error["loc"] if part not in ("body", "query", "path", "settings")]
    name = names[-1] if names else "settings"
    given = _shown(error.get("input"))
    if kind == "value_error":
        return str(context["error"])
    if kind == "missing":
        return f"{name} is missing." if names else "The request has no settings."
    if kind == "extra_forbidden":
        return _unknown_setting(name)
    if kind == "string_too_long":
        return f"{name} is too long: {len(error['input'])} characters, {context['max_length']} at most."
    if kind in ("greater_than_equal", "less_than_equal"):
        return f"{name} must be {_bounds(name, context)}; {given} was given."
    if kind == "json_invalid":
        return "The body of the request is not valid JSON."
    if kind in _TYPES:
        return f"{name} must be {_TYPES[kind]}; {given} was given."
    return f"{name}: {error['msg']}; {given} was given."


def _unknown_setting(name: str) -> str:
    known = list(GenerateSettings.model_fields)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"There is no setting {name[:60]!r}.{hint} Settings: {', '.join(known)}."


def _bounds(name: str, context: Mapping[str, Any]) -> str:
    """Both ends where the field has both, so that one answer is enough."""
    field = GenerateSettings.model_fields.get(name)
    ends: dict[str, Any] = dict(context)
    for part in field.metadata if field else ():
        ends.update({end: getattr(part, end) for end in ("ge", "le") if hasattr(part, end)})
    if "ge" in ends and "le" in ends:
        return f"between {ends['ge']} and {ends['le']}"
    return f"at least {ends['ge']}" if "ge" in ends else f"at most {ends['le']}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
