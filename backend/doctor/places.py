# SPDX-License-Identifier: GPL-3.0-or-later
"""Models and folders: what is installed, and where there is room. Asks the registry in a child process."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

from backend.doctor.facts import TEMPORARY, Model, Place
from backend.doctor.probing import ask


def find_models() -> tuple[tuple[Model, ...], tuple[Model, ...], Path | None]:
    """(installed models, those to download or damaged, the folder of the user's models or None)."""
    answer = ask("backend.doctor.places")
    if answer.error or not answer.values:
        return (), (), None
    found = answer.values[-1]
    installed = tuple(Model(**entry) for entry in found["installed"])
    return installed, tuple(Model(**entry) for entry in found["missing"]), Path(found["folder"])


def examine_places(models: Path | None) -> tuple[Place, ...]:
    """The models' folder, the cache it is in, and the folder for temporary files."""
    places = [(TEMPORARY, Path(tempfile.gettempdir()))] if _has_temporary() else []
    if models is not None:
        places = [("Models", models), ("Cache", models.parent), *places]
    found = [examine_place(title, path) for title, path in places]
    if not _has_temporary():
        found.append(Place(TEMPORARY, "", 0, "no folder for temporary files can be written"))
    return tuple(found)


def examine_place(title: str, path: Path) -> Place:
    """Whether files can be written in `path`, or where it will be made, and how much room there is."""
    there = next((folder for folder in (path, *path.parents) if folder.exists()), path)
    try:
        free = shutil.disk_usage(there).free
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        return Place(title, str(path), 0, error.strerror or str(error))
    return Place(title, str(path), free)


def main(_arguments: list[str]) -> None:
    """In the child: prints what the registry knows as JSON."""
    from backend.diffusion import registry

    whole, damaged = registry.sorted_out()
    installed = [
        {
            "name": entry.name,
            "title": entry.config.title or entry.name,
            "image_size": entry.config.image_size,
            "folder": str(entry.folder),
        }
        for entry in whole
    ]
    missing = [{"name": model.name, "title": model.title} for model in registry.not_installed()]
    missing += [{"name": name, "title": name, "damage": what} for name, what in damaged.items()]
    folder = str(registry.models_folder().absolute())
    sys.stdout.write(json.dumps({"installed": installed, "missing": missing, "folder": folder}) + "\n")


def _has_temporary() -> bool:
    try:
        tempfile.gettempdir()
    except OSError:
        return False
    return True
