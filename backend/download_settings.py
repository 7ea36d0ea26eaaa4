# SPDX-License-Identifier: GPL-3.0-or-later
"""What a download of a model can be asked for over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, ValidationError

from backend.errors import UserError
from backend.settings.request import Strict
from backend.settings.sentences import explain


class DownloadSettings(Strict):
    """Which of the known models, and how it is kept.

    Raises:
        pydantic.ValidationError: `backend.settings.explain` makes a sentence of it, and `from_values` a
            UserError.
    """

    name: str = Field(max_length=100, description="a model that is not installed yet, such as mvdream-sd21")
    half: bool = Field(False, description="whether 16-bit weights are stored: half the size on the disk")

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
