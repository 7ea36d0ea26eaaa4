# SPDX-License-Identifier: GPL-3.0-or-later
"""What a model folder says about itself in `mvdream.json`. No torch here: the service reads it too."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from backend.diffusion.inspection import REMEDY
from backend.errors import UserError

CONFIG_FILE = "mvdream.json"

Range = Annotated[tuple[float, float], Field(description="lowest and highest value")]


class _Strict(BaseModel):
    # A misspelt key must be an error, not a silently used default.
    model_config = ConfigDict(extra="forbid", frozen=True)


class ViewRangeConfig(_Strict):
    """Cameras the model was trained on; the fields are those of `backend.cameras.ViewRanges`.

    `fov` and `elevation` in degrees; `relative_distance` / tan(fov / 2) is the distance in world units.
    The defaults are the paper's (section 3.2).
    """

    fov: Range = (15.0, 60.0)
    elevation: Range = (0.0, 30.0)
    relative_distance: Range = (0.8, 1.0)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for name in ("fov", "elevation", "relative_distance"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: {low} is above {high}")
        return self


class ScheduleConfig(_Strict):
    """The scaled-linear noise schedule: beta_t = linspace(sqrt(linear_start), sqrt(linear_end), steps)^2."""

    linear_start: float = Field(default=0.00085, gt=0, lt=1)
    linear_end: float = Field(default=0.012, gt=0, lt=1)
    steps: int = Field(default=1000, gt=0)


PUBLISHED_NEGATIVE_PROMPT = (
    "ugly, bad anatomy, blurry, pixelated obscure, unnatural colors, poor lighting, dull, and unclear,"
    " cropped, lowres, low quality, artifacts, duplicate, morbid, mutilated, poorly drawn face, deformed,"
    " dehydrated, bad proportions"
)
"""What MVDream's configurations keep away from; converted models bring it along."""
PUBLISHED_CAPTION_SUFFIX = ", 3d asset"
"""MVDream, section 3.2: captions of renders. Its sampling script adds it, its score distillation does not."""


class ModelConfig(_Strict):
    """Facts about a model that its parts' own `config.json` files do not hold."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    title: str = ""
    image_size: int = Field(gt=0, description="side of the square images it was trained on, in pixels")
    views: int = Field(default=4, gt=0, description="views of one object that self-attention joins")
    guidance_scale: float = Field(
        default=50.0, ge=0, description="classifier-free guidance scale that suits it"
    )
    negative_prompt: str = Field(default="", description="what to keep away from, unless a user says so")
    caption_suffix: str = Field(
        default="",
        description="what its training captions ended in; sampling views adds it, as MVDream's does",
    )
    bound: float = Field(default=1.0, gt=0, description="radius of the sphere its objects live in")
    view_ranges: ViewRangeConfig = ViewRangeConfig()
    schedule: ScheduleConfig = ScheduleConfig()


def read_config(folder: Path) -> ModelConfig:
    """The configuration of the model in `folder`. Raises UserError naming a missing or broken file."""
    path = folder / CONFIG_FILE
    try:
        return ModelConfig.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if (folder / "model_index.json").is_file():
            raise UserError(
                f"{folder} is a model in diffusers' own layout. Convert it once, with"
                f" `python -m backend models convert {folder} NAME`, and use it by that name."
            ) from None
        raise UserError(f"{folder} is not a complete model folder: {CONFIG_FILE} is missing.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The model file {path} can't be read: {error}.") from error
    except ValidationError as error:
        raise UserError(f"The model file {path} is broken: {_problem(error)}. {REMEDY}") from error


def _problem(error: ValidationError) -> str:
    """The first thing that is wrong, for people."""
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    sentences = {
        "missing": f"it lacks {where}",
        "extra_forbidden": f"it has an unknown entry {where}",
        "json_invalid": "it is no JSON",
    }
    if problem["type"] in sentences:
        return sentences[problem["type"]]
    return f"{where} is {problem['input']!r:.60}" if where else "it holds no settings"
