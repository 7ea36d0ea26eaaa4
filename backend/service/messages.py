# SPDX-License-Identifier: GPL-3.0-or-later
"""What a worker tells the supervisor: one JSON object a line on its standard output."""

import logging
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

log = logging.getLogger(__name__)


class _Message(BaseModel):
    # A number that JSON has no word for would break every answer that repeats it.
    model_config = ConfigDict(allow_inf_nan=False)


class ProgressMessage(_Message):
    """`backend.progress.Progress` on its way."""

    type: Literal["progress"]
    stage: str
    step: int = 0
    steps: int = 0
    fraction: float = 0.0
    seconds_left: float | None = None
    message: str = ""
    preview: str | None = None


class DoneMessage(_Message):
    """The job is done; `files` are the names it made in its folder."""

    type: Literal["done"]
    files: list[str] = []


class ErrorMessage(_Message):
    """The job failed; `message` is for the user. `resumable`: the same settings may work another time."""

    type: Literal["error"]
    message: str
    resumable: bool = True


Message = ProgressMessage | DoneMessage | ErrorMessage
_ADAPTER: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="type")])


def parse(line: bytes) -> Message | None:
    """The message in `line`, or None (logged) when a library wrote something of its own there."""
    try:
        return _ADAPTER.validate_json(line)
    except ValidationError:
        log.warning("The worker wrote something that is no message: %r", line[:200])
        return None
