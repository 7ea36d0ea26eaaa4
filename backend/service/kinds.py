# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of jobs and the settings each takes."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from backend.download_settings import DownloadSettings
from backend.errors import UserError
from backend.settings import GenerateSettings, explain_errors
from backend.settings.request import Request
from backend.views_settings import ViewsSettings


class _JobRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")


class GenerateRequest(_JobRequest):
    """A textured mesh to be made."""

    kind: Literal["generate"]
    settings: GenerateSettings


class ViewsRequest(_JobRequest):
    """A preview of views to be made."""

    kind: Literal["views"]
    settings: ViewsSettings


class DownloadRequest(_JobRequest):
    """A known model to be downloaded and converted."""

    kind: Literal["download"]
    settings: DownloadSettings


JobRequest = Annotated[GenerateRequest | ViewsRequest | DownloadRequest, Field(discriminator="kind")]
"""A job to be done."""

_FORM = 'it must be like {"kind": "generate", "settings": {"prompt": "a red mug"}}.'

DOWNLOAD = "download"
"""Jobs of this kind wait for the network and not for the processor: they have a queue of their own."""

SETTINGS: dict[str, type[Request] | type[DownloadSettings]] = {
    "generate": GenerateSettings,
    "views": ViewsSettings,
    DOWNLOAD: DownloadSettings,
}


def stored_settings(kind: str, values: Mapping[str, Any]) -> Request | DownloadSettings:
    """The settings of a job of the store, checked again.

    Raises:
        UserError: the kind or a setting is not known to this version, or not allowed any more.
    """
    if kind not in SETTINGS:
        raise UserError(f"This version knows no job of kind {kind[:60]!r}. Update the backend.")
    return SETTINGS[kind].from_values(values)


def explain_request(errors: Sequence[Mapping[str, Any]]) -> str:
    """What is wrong with a request, in sentences: about the settings of its own kind."""
    whole = next((error for error in errors if tuple(error["loc"]) == ("body",)), None)
    if whole is not None and whole["type"] == "missing":
        return f"The request has no body: {_FORM}"
    if whole is not None and whole["type"] in ("model_attributes_type", "model_type", "dict_type"):
        return f"The body of the request is no JSON object: {_FORM}"
    kind = next((part for error in errors for part in error["loc"][1:2] if part in SETTINGS), "generate")
    # Where a kind is chosen its name is a part of the place, and no setting.
    places = [
        (error["loc"][0], *error["loc"][2:]) if kind in error["loc"][1:2] else error["loc"]
        for error in errors
    ]
    told = [{**error, "loc": place} for error, place in zip(errors, places, strict=True)]
    return explain_errors(told, SETTINGS[kind].model_fields)
