# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel's choice of a model: a list that changes, kept in the file as the model's name.

Blender handles a dynamic enum as a number, so each name has one number for as long as Blender runs: the list
may change between a menu's drawing and the click into it. Blender does not keep the texts of its items, so
Python has to.
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
_numbers: dict[str, int] = {AUTO: 0}
# Every list that Blender was given, for it holds on to their texts.
_given: dict[tuple[Item, ...], list[Item]] = {}


def items(settings: bpy.types.PropertyGroup, _context: bpy.types.Context | None) -> list[Item]:
    """The models there are, and the one that the file names if it is none of them."""
    session = runtime.peek()
    models = session.library.models if session is not None else KNOWN
    made = _make(models, str(settings.model) or AUTO)
    return _given.setdefault(tuple(made), made)


def read(settings: bpy.types.PropertyGroup) -> int:
    """The number of the file's model."""
    return _number(settings.model or AUTO)


def write(settings: bpy.types.PropertyGroup, number: int) -> None:
    """Keeps the name of what was chosen."""
    settings.model = next(name for name, known in _numbers.items() if known == number)


def chosen(settings: bpy.types.PropertyGroup) -> Model | None:
    """The model that the panel names; None for the automatic choice and for one that nobody knows."""
    session = runtime.peek()
    return session.library.find(settings.model) if session is not None else None


def _make(models: tuple[Model, ...], chosen: str) -> list[Item]:
    made = [_AUTOMATIC]
    for model in models:
        lack = " (broken)" if model.broken else "" if model.installed else " (not downloaded)"
        icon = "ERROR" if model.broken else "NONE" if model.installed else "IMPORT"
        text = model.description or model.name
        made.append((model.name, model.title + lack, text, icon, _number(model.name)))
    if all(item[0] != chosen for item in made):
        text = "The model that this file names"
        made.append((chosen, f"{chosen} (not here)", text, "ERROR", _number(chosen)))
    return made


def _number(name: str) -> int:
    return _numbers.setdefault(name, len(_numbers))
