# SPDX-License-Identifier: GPL-3.0-or-later
"""The live picture of the job for the panel. Loaded by the timer, never while drawing."""

from pathlib import Path

import bpy
import bpy.utils.previews

_collection: bpy.utils.previews.ImagePreviewCollection | None = None
_shown = ""


def show(picture: Path | None) -> None:
    """Make `picture` the one to draw; None for none."""
    global _collection, _shown
    name = "" if picture is None else str(picture)
    if name == _shown or bpy.app.background:
        return
    if _collection is None:
        _collection = bpy.utils.previews.new()
    _collection.clear()
    _shown = name
    if picture is not None and picture.is_file():
        # Reading the size makes Blender load the file now, so that drawing does not have to.
        _ = _collection.load(name, name, "IMAGE").icon_size[0]


def icon() -> int:
    """The picture's icon, 0 for none."""
    if _collection is None or _shown not in _collection:
        return 0
    return _collection[_shown].icon_id


def clear() -> None:
    """Give the pictures back."""
    global _collection, _shown
    if _collection is not None:
        bpy.utils.previews.remove(_collection)
    _collection, _shown = None, ""
