# SPDX-License-Identifier: GPL-3.0-or-later
"""What panels and preferences draw alike."""

import bpy

from . import wrapping
from .errors import MVDreamError
from .install_output import InstallProgress

# What an icon and a box's border take of a line, in letters.
ICON_LETTERS, BOX_LETTERS = 4, 3

# An error's remedy -> the operator that is it.
_FIXES = {"install": "mvdream.install_backend", "restart": "mvdream.restart_backend"}


def draw_lines(layout: bpy.types.UILayout, text: str, letters: int, icon: str = "NONE") -> None:
    """All of a text as labels, which do not wrap by themselves; the icon before the first."""
    column = layout.column(align=True)
    column.scale_y = 0.8
    room = letters if icon == "NONE" else letters - ICON_LETTERS
    for number, line in enumerate(wrapping.lines(text, room)):
        column.label(text=line, icon=icon if number == 0 else ("NONE" if icon == "NONE" else "BLANK1"))


def draw_error(layout: bpy.types.UILayout, error: MVDreamError, letters: int) -> None:
    """The whole of an error in a box, with the button that fixes it."""
    box = layout.box()
    draw_lines(box, str(error), letters - BOX_LETTERS, "ERROR")
    if error.fix == "preferences":
        box.operator("preferences.addon_show", text="Open Preferences").module = __package__
    elif error.fix == "online":
        box.operator("screen.userpref_show", text="Open Preferences > System").section = "SYSTEM"
    elif error.fix:
        box.operator(_FIXES[error.fix])


def draw_installation(layout: bpy.types.UILayout, progress: InstallProgress, letters: int) -> None:
    """How far the installation of the backend is, with the button that stops it."""
    draw_lines(layout, progress.message, letters)
    if progress.fraction is not None:
        layout.progress(factor=progress.fraction, text=f"{round(progress.fraction * 100)} %")
    layout.operator("mvdream.cancel", icon="CANCEL")


def letters(context: bpy.types.Context) -> int:
    """How many letters fit into a line of the region that is drawn."""
    if context.region is None:
        return 40
    return wrapping.letters(context.region.width, context.preferences.system.ui_scale)
