# SPDX-License-Identifier: GPL-3.0-or-later
"""The models in the preferences: what each is, how far its download is, and the buttons. Changes nothing."""

import bpy

from .drawing import draw_error, draw_lines
from .library import LIST, Library
from .models import Model, amount


def draw_models(layout: bpy.types.UILayout, library: Library, letters: int) -> None:
    """All of them, one below the other."""
    row = layout.row()
    row.label(text="Models")
    row.operator("mvdream.refresh_models", text="", icon="FILE_REFRESH")
    _draw_error(layout, library, LIST, letters)
    for model in library.models:
        _draw_model(layout.box(), library, model, letters)


def draw_download(layout: bpy.types.UILayout, library: Library, name: str, letters: int) -> bool:
    """The progress of a model's download, with a button to stop it; False where there is none."""
    job = library.download_of(name)
    if job is None:
        return False
    draw_lines(layout, job.headline, letters)
    row = layout.row(align=True)
    row.progress(factor=job.fraction, text=f"{round(job.fraction * 100)} %")
    buttons = row.row()
    buttons.enabled = not job.cancel_asked
    buttons.operator("mvdream.cancel_download", text="Cancel", icon="CANCEL").name = name
    return True


def draw_missing(layout: bpy.types.UILayout, library: Library, model: Model, letters: int) -> None:
    """In the panel: what is in the way of the chosen model, and the button for it. Nothing: nothing."""
    if not model.downloadable and not model.broken:
        return
    box = layout.box()
    if model.broken:
        draw_lines(box, model.broken, letters, "ERROR")
    if not draw_download(box, library, model.name, letters):
        _draw_buttons(
            box.column(), library, model, f"Download {model.name} (about {amount(model.about_bytes)})"
        )
    _draw_error(layout, library, model.name, letters)


def _draw_buttons(layout: bpy.types.UILayout, library: Library, model: Model, text: str) -> None:
    layout.enabled = not library.is_busy_with(model.name)
    if model.downloadable:
        layout.operator("mvdream.download_model", text=text, icon="IMPORT").name = model.name
        smaller = layout.operator("mvdream.download_model", text="The Same as 16 Bit: Half the Disk")
        smaller.name = model.name
        smaller.half = True
    if model.removable:
        layout.operator("mvdream.remove_model", text="Remove").name = model.name


def _draw_model(layout: bpy.types.UILayout, library: Library, model: Model, letters: int) -> None:
    row = layout.row()
    icon = "ERROR" if model.broken else "CHECKMARK" if model.installed else "IMPORT"
    row.label(text=f"{model.title}: {state(library, model)}", icon=icon)
    _draw_buttons(row.row(), library, model, "Download")
    facts = ", ".join(
        filter(None, [model.name, f"about {amount(model.about_bytes)}" * (model.about_bytes > 0)])
    )
    draw_lines(layout, f"{model.description} ({facts})".strip(), letters)
    if model.broken:
        draw_lines(layout, model.broken, letters, "ERROR")
    if model.licence:
        row = layout.row()
        row.label(text=f"Licence: {model.licence}")
        if model.licence_url:
            row.operator("wm.url_open", text="Read It", icon="URL").url = model.licence_url
    draw_download(layout, library, model.name, letters)
    _draw_error(layout, library, model.name, letters)


def state(library: Library, model: Model) -> str:
    """Where a model stands, in a few words."""
    if library.download_of(model.name) is not None:
        return "being downloaded"
    if library.is_busy_with(model.name):
        return "being removed"
    if model.installed:
        return "installed" if model.removable else "ships with MVDream"
    if model.broken:
        return "broken"
    if model.downloaded_bytes:
        return f"{amount(model.downloaded_bytes)} downloaded, not installed"
    return "not installed"


def _draw_error(layout: bpy.types.UILayout, library: Library, name: str, letters: int) -> None:
    if (error := library.errors.get(name)) is not None:
        draw_error(layout, error, letters)
