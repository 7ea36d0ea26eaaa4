# SPDX-License-Identifier: GPL-3.0-or-later
"""The models as the API shows them: those that are there, then those that could be."""

from typing import Any

from backend.diffusion import installation, registry
from backend.diffusion.catalogue import KNOWN


def listed() -> list[dict[str, Any]]:
    """All models, installed ones first.

    `installed`: whether it can be used. `removable`: whether there is something of it to remove: it does not
    ship with the program, or a part of its download is there (`downloaded_bytes`). `words`: what a prompt may
    use; null where any will do or nobody knows yet.
    """
    return [_installed(entry) for entry in registry.models()] + [
        known.as_json() | _absent(known.name) for known in registry.not_installed()
    ]


def _installed(entry: registry.ModelEntry) -> dict[str, Any]:
    known = KNOWN.get(entry.name)
    values = (known.as_json() if known else {}) | entry.config.model_dump(mode="json")
    return values | {
        "name": entry.name,
        "title": entry.config.title or (known.title if known else entry.name),
        "words": entry.words,
        "installed": True,
        "removable": entry.folder.parent != registry.SHIPPED,
        "downloaded_bytes": 0,
    }


def _absent(name: str) -> dict[str, Any]:
    there = installation.downloaded_bytes(name)
    return {"words": None, "installed": False, "removable": there > 0, "downloaded_bytes": there}
