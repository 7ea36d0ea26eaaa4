# SPDX-License-Identifier: GPL-3.0-or-later
"""What a job is, as the API shows it."""

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, Field


class Status(StrEnum):
    """Where a job stands. Only `queued` and `running` jobs change by themselves."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Job(BaseModel):
    """One job. Times are ISO 8601 in UTC."""

    id: str
    kind: str
    status: Status = Status.QUEUED
    stage: str = Field("", description="what is being done now, one word")
    step: int = 0
    steps: int = 0
    progress: float = Field(0.0, ge=0, le=1, description="share of the whole job that is done")
    seconds_left: float | None = None
    message: str = ""
    error: str | None = None
    resumable: bool = Field(
        True, description="whether to resume it can help: not if it is done or its settings are at fault"
    )
    settings: dict[str, Any] = {}
    files: list[str] = Field([], description="names that can be fetched")
    preview: str | None = Field(None, description="the latest picture, one of `files`")
    preview_count: int = Field(0, description="grows with every new picture, also under the same name")
    created: str
    started: str | None = None
    ended: str | None = None
