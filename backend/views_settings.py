# SPDX-License-Identifier: GPL-3.0-or-later
"""What a preview of views can be asked for; one schema for command line, HTTP and panel."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from backend.diffusion.config import ModelConfig
from backend.errors import UserError
from backend.settings.request import Request

HIGHEST_SEED = 2**31 - 1


class ViewsSettings(Request):
    """Which views to sample of a prompt, and how.

    Raises:
        pydantic.ValidationError: `backend.settings.explain` makes a sentence of it, and `from_values` a
            UserError.
    """

    count: int = Field(1, ge=1, le=16, description="sets of views; each has the seed after the last one's")
    steps: int = Field(20, ge=1, le=1000, description="passes through the network")
    guidance_scale: float | None = Field(
        None,
        ge=0,
        le=100,
        description="strength of classifier-free guidance; none given: what suits the model",
    )
    guidance_rescale: float = Field(
        0.0, ge=0, le=1, description="share of the CFG rescale, which keeps colours from saturating"
    )
    solver: Literal["dpm++", "ddim"] = Field("dpm++", description="DPM-Solver++(2M), or DDIM with eta 0")
    elevation: float = Field(15.0, ge=-90, le=90, description="of the cameras above the horizon, in degrees")
    azimuth: float = Field(
        0.0,
        ge=-360,
        le=360,
        description="of the first camera in degrees, counter-clockwise seen from above; 0 is the front",
    )
    background: Literal["grey", "any"] = Field(
        "grey", description="grey: the model is led to a neutral one; any: whatever it comes up with"
    )
    separate: bool = Field(False, description="whether each view gets a file of its own too")

    def check_for(self, config: ModelConfig) -> None:
        """Raises UserError for more steps than the schedule of the model has."""
        if self.steps > config.schedule.steps:
            raise UserError(
                f"steps must be between 1 and {config.schedule.steps} with the model {config.name}: its"
                f" schedule has no more; {self.steps} was given."
            )

    @model_validator(mode="after")
    def _seeds_there_are(self) -> Self:
        if self.seed + self.count - 1 > HIGHEST_SEED:
            raise ValueError(
                f"{self.count} sets from seed {self.seed} pass the highest seed, {HIGHEST_SEED}: choose a"
                " lower seed."
            )
        return self
