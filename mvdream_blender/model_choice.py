# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel's choice of a model: a list that changes, kept in the file as the model's name.

Blender keeps a dynamic enum as a number, which would mean another model when the list has changed; and it
does not keep the texts of its items, so Python has to.
"""

import bpy

from . import runtime
from .models import AUTO, KNOWN, Model

Item = tuple[str, str, str, str, int]

_AUTOMATIC: Item = (
    AUTO,
    "Automatic",
    "The published model where it is installed and there is a GPU, else the small one",
    "NONE",
    0,
)
# Every list that Blender was given, for it holds on to their texts.
_given: dict[tuple[Item, ...], list[Item]] = {}


def items(settings: bpy.types.PropertyGroup, _context: bpy.types.Context | None) -> list[Item]:
    """The models there are, and the one that the file names if it is none of them."""
    session = runtime.peek()
    models = session.library.models if session is not None else KNOWN
    made = _make(models, str(settings.model) or AUTO)
    return _given.setdefault(tuple(made), made)


def read(settings: bpy.types.PropertyGroup) -> int:
    """The number of the file's model in the list as it is now."""
    return next(item[4] for item in items(settings, None) if item[0] == (settings.model or AUTO))


def write(settings: bpy.types.PropertyGroup, number: int) -> None:
    """Keeps the name of what was chosen."""
    settings.model = next(item[0] for item in items(settings, None) if item[4] == number)


def chosen(settings: bpy.types.PropertyGroup) -> Model | None:
    """The model that the panel names; None for the automatic choice and for one that nobody knows."""
    session = runtime.peek()
    return session.library.find(settings.model) if session is not None else None


def _make(models: tuple[Model, ...], chosen: str) -> list[Item]:
    made = [_AUTOMATIC]
    for model in models:
        title = model.title if model.installed else f"{model.title} (not downloaded)"
        icon = "NONE" if model.installed else "IMPORT"
        made.append((model.name, title, model.description or model.name, icon, len(made)))
    if all(item[0] != chosen for item in made):
        made.append((chosen, f"{chosen} (not here)", "The model that this file names", "ERROR", len(made)))
    return made
