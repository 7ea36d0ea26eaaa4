# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures for the panel: of the job under way, of views. Loaded by the timer, never while drawing."""

from pathlib import Path

import bpy
import bpy.utils.previews

_collection: bpy.utils.previews.ImagePreviewCollection | None = None
_shown: set[str] = set()


def show(*pictures: Path | None) -> None:
    """Make `pictures` the ones that can be drawn; None stands for none."""
    global _collection, _shown
    wanted = {str(picture) for picture in pictures if picture is not None}
    if wanted == _shown or bpy.app.background:
        return
    if _collection is None:
        _collection = bpy.utils.previews.new()
    _collection.clear()
    _shown = wanted
    for name in wanted:
        if Path(name).is_file():
            # Reading the size makes Blender load the file now, so that drawing does not have to.
            _ = _collection.load(name, name, "IMAGE").icon_size[0]


def icon(picture: Path | None) -> int:
    """The icon of a picture that is shown, 0 for none."""
    if _collection is None or picture is None or str(picture) not in _collection:
        return 0
    return _collection[str(picture)].icon_id


def clear() -> None:
    """Give the pictures back."""
    global _collection, _shown
    if _collection is not None:
        bpy.utils.previews.remove(_collection)
    _collection, _shown = None, set()
