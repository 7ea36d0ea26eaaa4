# SPDX-License-Identifier: GPL-3.0-or-later
"""What the add-on knows about a model. Never imports bpy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

AUTO = "auto"


@dataclass(frozen=True)
class Model:
    """One model, there or not.

    Attributes:
        source: where it is downloaded from; "" for one that can't be.
        about_bytes: of the download, rounded; 0 for unknown.
        downloaded_bytes: what is there of an unfinished download.
        removable: whether there is something to remove.
        broken: of one that is there and can't be used: what is wrong; "" otherwise.
    """

    name: str
    title: str
    description: str = ""
    source: str = ""
    about_bytes: int = 0
    licence: str = ""
    licence_url: str = ""
    installed: bool = False
    removable: bool = False
    downloaded_bytes: int = 0
    broken: str = ""

    @property
    def downloadable(self) -> bool:
        """Whether it can be downloaded now; a broken one has to be removed first."""
        return bool(self.source) and not self.installed and not self.broken


_MVDREAM = "https://huggingface.co/MVDream/MVDream"

# For the time before a backend says it; a test compares them with the backend's.
KNOWN: tuple[Model, ...] = (
    Model(
        "small",
        "Small (64 pixels)",
        "Toy objects from a list of words. Ships with the program and runs on any computer.",
        about_bytes=15_300_000,
        licence="GPL-3.0-or-later",
        licence_url="https://www.gnu.org/licenses/gpl-3.0.html",
        installed=True,
    ),
    Model(
        "mvdream-sd21",
        "MVDream (Stable Diffusion 2.1)",
        "The published model of the paper: any prompt. Needs a GPU.",
        "MVDream/MVDream/sd-v2.1-base-4view.pt",
        5_200_000_000,
        "OpenRAIL",
        _MVDREAM,
    ),
    Model(
        "mvdream-sd15",
        "MVDream (Stable Diffusion 1.5)",
        "The published variant on Stable Diffusion 1.5: any prompt. Needs a GPU.",
        "MVDream/MVDream/sd-v1.5-4view.pt",
        4_300_000_000,
        "OpenRAIL",
        _MVDREAM,
    ),
)


def parse(answer: Sequence[dict[str, Any]]) -> tuple[Model, ...]:
    """The backend's list, the model that ships first and then by name.

    Raises:
        KeyError, TypeError, ValueError: it is no such list.
    """
    models = [
        Model(
            str(values["name"]),
            str(values.get("title") or values["name"]),
            str(values.get("description") or ""),
            str(values.get("source") or ""),
            int(values.get("about_bytes") or 0),
            str(values.get("licence") or ""),
            str(values.get("licence_url") or ""),
            bool(values.get("installed")),
            bool(values.get("removable")),
            int(values.get("downloaded_bytes") or 0),
            str(values.get("broken") or ""),
        )
        for values in answer
    ]
    return in_order(models)


def in_order(models: Sequence[Model]) -> tuple[Model, ...]:
    """The known ones in their order, then the user's own by name."""
    places = {model.name: place for place, model in enumerate(KNOWN)}
    return tuple(sorted(models, key=lambda model: (places.get(model.name, len(places)), model.name)))


def amount(count: int) -> str:
    """Bytes as disks are sold: "15.1 MB", "5.20 GB"."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
