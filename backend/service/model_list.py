# SPDX-License-Identifier: GPL-3.0-or-later
"""The models as the API shows them: those that are there, then those that could be."""

from pathlib import Path
from typing import Any

from backend.diffusion import installation, registry
from backend.diffusion.catalogue import KNOWN
from backend.diffusion.folder_swap import leftovers
from backend.errors import UserError


def listed() -> list[dict[str, Any]]:
    """All models: those that are there, then those that could be.

    `installed`: whether it can be used. `broken`: of one that is there and can't: what is wrong, else null.
    `removable`: whether there is something of it to remove: it does not ship with the program, or a part of
    its download is there (`downloaded_bytes`). `words`: what a prompt may use; null where any will do or
    nobody knows yet.
    """
    there = [_present(name, folder) for name, folder in registry.folders().items()]
    return there + [known.as_json() | _absent(known.name) for known in registry.not_installed()]


def is_there(name: str) -> bool:
    """Whether there is a model of that name, or anything that is left of one."""
    if not registry.is_name(name):
        return False
    places = (registry.models_folder() / name, installation.download_folder(name), registry.SHIPPED / name)
    there = any(place.exists() or place.is_symlink() for place in places)
    return there or name in leftovers(registry.models_folder())


def _present(name: str, folder: Path) -> dict[str, Any]:
    try:
        return _installed(registry.entry(name, folder))
    except UserError as error:  # its configuration, its weights, or its vocabulary
        known = KNOWN.get(name)
        values = known.as_json() if known else {"name": name, "title": name}
        values |= {"words": None, "installed": False, "broken": str(error)}
        return values | {"removable": folder.parent != registry.SHIPPED, "downloaded_bytes": 0}


def _installed(entry: registry.ModelEntry) -> dict[str, Any]:
    known = KNOWN.get(entry.name)
    values = (known.as_json() if known else {}) | entry.config.model_dump(mode="json")
    return values | {
        "name": entry.name,
        "title": entry.config.title or (known.title if known else entry.name),
        "words": entry.words,
        "installed": True,
        "broken": None,
        "removable": entry.folder.parent != registry.SHIPPED,
        "downloaded_bytes": 0,
    }


def _absent(name: str) -> dict[str, Any]:
    there = installation.downloaded_bytes(name)
    facts = {"removable": there > 0, "downloaded_bytes": there}
    return {"words": None, "installed": False, "broken": None} | facts
