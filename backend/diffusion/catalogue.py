# SPDX-License-Identifier: GPL-3.0-or-later
"""The models this program knows by name, installed or not: where they are from, what they need. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class HubFile:
    """One file in a repository of a Hugging Face hub."""

    repository: str
    name: str
    revision: str = "main"

    def __str__(self) -> str:
        return f"{self.repository}/{self.name}"


@dataclass(frozen=True)
class Network:
    """What tells published models apart: channels of the UNet's first level, and of the text it reads."""

    channels: int
    text: int

    def __str__(self) -> str:
        return f"{self.channels} channels and reads text {self.text} wide"


@dataclass(frozen=True)
class KnownModel:
    """What can be said about a model before it is there.

    source: None for the model that ships. about_bytes: of the download, rounded; the hub says the true size
    and the checksum. memory_class: "cpu" for one that is of use without a GPU. network: None for the one
    that ships, whose name is taken.
    """

    name: str
    title: str
    description: str
    image_size: int
    views: int
    source: HubFile | None
    about_bytes: int
    licence: str
    licence_url: str
    memory_class: Literal["cpu", "gpu"]
    network: Network | None = None

    def as_json(self) -> dict[str, Any]:
        """The same as plain values, for `GET /v1/models`; `source` as "repository/file" or None."""
        values = {key: value for key, value in vars(self).items() if key not in ("source", "network")}
        return values | {"source": None if self.source is None else str(self.source)}


_MVDREAM = "MVDream/MVDream"
_MVDREAM_LICENCE = "OpenRAIL"
_MVDREAM_URL = "https://huggingface.co/MVDream/MVDream"

KNOWN: dict[str, KnownModel] = {
    model.name: model
    for model in (
        KnownModel(
            name="small",
            title="Small (64 pixels)",
            description="Toy objects from a list of words. Ships with the program and runs on any computer.",
            image_size=64,
            views=4,
            source=None,
            about_bytes=15_300_000,
            licence="GPL-3.0-or-later",
            licence_url="https://www.gnu.org/licenses/gpl-3.0.html",
            memory_class="cpu",
        ),
        KnownModel(
            name="mvdream-sd21",
            title="MVDream (Stable Diffusion 2.1)",
            description="The published model of the paper: any prompt. Needs a GPU.",
            image_size=256,
            views=4,
            source=HubFile(_MVDREAM, "sd-v2.1-base-4view.pt"),
            about_bytes=5_200_000_000,
            licence=_MVDREAM_LICENCE,
            licence_url=_MVDREAM_URL,
            memory_class="gpu",
            network=Network(320, 1024),
        ),
        KnownModel(
            name="mvdream-sd15",
            title="MVDream (Stable Diffusion 1.5)",
            description="The published variant on Stable Diffusion 1.5: any prompt. Needs a GPU.",
            image_size=256,
            views=4,
            source=HubFile(_MVDREAM, "sd-v1.5-4view.pt"),
            about_bytes=4_300_000_000,
            licence=_MVDREAM_LICENCE,
            licence_url=_MVDREAM_URL,
            memory_class="gpu",
            network=Network(320, 768),
        ),
    )
}
