# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar: what to make, how far it is, what went wrong and the button that fixes it.

Drawing changes nothing.
"""

import bpy

from . import model_choice, pictures, runtime
from .draw_models import draw_missing
from .drawing import BOX_LETTERS, draw_error, draw_installation, draw_lines, letters
from .session import Session
from .viewing import Views

MOST_UNFINISHED = 3


class _Sidebar:
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "MVDream"


class MVDREAM_PT_generate(_Sidebar, bpy.types.Panel):
    """Prompt, progress, errors."""

    bl_label = "MVDream"

    def draw(self, context: bpy.types.Context) -> None:
        session = runtime.peek()
        if session is None:
            return
        _draw_inputs(self.layout, context.scene.mvdream)
        if (model := model_choice.chosen(context.scene.mvdream)) is not None:
            draw_missing(self.layout, session.library, model, letters(context))
        if session.making:
            _draw_job(self.layout, session, letters(context))
        else:
            _draw_start(self.layout, session)
        if session.job is not None and session.job.note:
            draw_lines(self.layout, session.job.note, letters(context), "INFO")
        if session.error is not None:
            draw_error(self.layout, session.error, letters(context))
        if session.views is not None:
            _draw_views(self.layout, session.views, context.scene.mvdream, letters(context))
        if session.unfinished:
            _draw_unfinished(self.layout, session, letters(context))


class MVDREAM_PT_backend(_Sidebar, bpy.types.Panel):
    """State of the backend and the button that changes it."""

    bl_label = "Backend"
    bl_parent_id = "MVDREAM_PT_generate"

    def draw(self, context: bpy.types.Context) -> None:
        session = runtime.peek()
        if session is None:
            return
        layout = self.layout
        text, icon, button = backend_state(session)
        draw_lines(layout, text, letters(context), icon)
        if session.doing == "install" and session.installing is not None:
            draw_installation(layout, session.installing, letters(context))
        elif button:
            layout.operator(button)
        if session.advice and not session.busy:
            box = layout.box()
            draw_lines(box, session.advice, letters(context) - BOX_LETTERS, "INFO")
            box.operator("mvdream.install_backend")


class MVDREAM_PT_dataset(_Sidebar, bpy.types.Panel):
    """Training data from the user's own objects."""

    bl_label = "Dataset"
    bl_parent_id = "MVDREAM_PT_generate"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, _context: bpy.types.Context) -> None:
        self.layout.operator("mvdream.render_dataset", icon="RENDER_STILL")


def backend_state(session: Session) -> tuple[str, str, str]:
    """What to say about the backend, with which icon, and the operator to offer ("" for none)."""
    if session.doing == "install":
        return "Being installed", "IMPORT", ""
    if session.doing in ("connect", "stop"):
        return "Starting" if session.doing == "connect" else "Stopping", "SORTTIME", ""
    if session.doing == "discard":
        return "Deleting a job", "SORTTIME", ""
    if session.configuration.remote_url:
        return f"At {session.configuration.remote_url}", "URL", ""
    if not session.installed:
        return "Not installed yet", "ERROR", "mvdream.install_backend"
    if session.backend.died:
        return "Ended unexpectedly", "ERROR", "mvdream.restart_backend"
    if session.backend.running:
        return "Running", "CHECKMARK", "" if session.busy else "mvdream.stop_backend"
    if session.backend.left_running:
        button = "" if session.busy else "mvdream.stop_backend"
        return "Running, started by another Blender", "CHECKMARK", button
    return "Ready: starts with the next Generate", "CHECKMARK", ""


def _draw_inputs(layout: bpy.types.UILayout, inputs: bpy.types.PropertyGroup) -> None:
    column = layout.column()
    column.use_property_split = True
    column.use_property_decorate = False
    column.prop(inputs, "prompt")
    column.prop(inputs, "negative_prompt", text="Without")
    row = column.row(align=True)
    row.prop(inputs, "seed")
    row.operator("mvdream.new_seed", text="", icon="FILE_REFRESH")
    column.prop(inputs, "preset")
    column.prop(inputs, "model_choice")


def _draw_start(layout: bpy.types.UILayout, session: Session) -> None:
    row = layout.row()
    row.scale_y = 1.5
    row.enabled = not session.busy
    if session.installed:
        row.operator("mvdream.generate", icon="OUTLINER_OB_MESH")
        row.operator("mvdream.preview_views", icon="IMAGE_DATA")
    else:
        row.operator("mvdream.install_backend", icon="IMPORT")


def _draw_job(layout: bpy.types.UILayout, session: Session, width: int) -> None:
    job = session.job
    if job is None:
        return
    # The inputs above may be for the next one by now, or belong to another scene.
    doing = "Views of" if session.doing == "views" else "Making"
    draw_lines(layout, f"{doing}: {job.prompt}", width)
    layout.label(text=job.headline)
    layout.progress(factor=job.fraction, text=f"{round(job.fraction * 100)} %  {job.time_left}".strip())
    icon = pictures.icon(session.preview)
    if icon:
        layout.template_icon(icon_value=icon, scale=8.0)
    row = layout.row()
    row.enabled = not job.cancel_asked
    row.operator("mvdream.cancel", icon="CANCEL")


def _draw_views(
    layout: bpy.types.UILayout, views: Views, inputs: bpy.types.PropertyGroup, width: int
) -> None:
    """Two by two: the four in a row would be too small to judge in a sidebar."""
    box = layout.box()
    draw_lines(box, f"Views of: {views.prompt}", width, "IMAGE_DATA")
    icons = [icon for icon in map(pictures.icon, views.parts) if icon]
    for first in range(0, len(icons), 2):
        row = box.row(align=True)
        for icon in icons[first : first + 2]:
            row.template_icon(icon_value=icon, scale=5.0)
    row = box.row()
    row.label(text=f"Seed {views.seed}")
    if views.seed != inputs.seed:
        row.operator("mvdream.use_seed")


def _draw_unfinished(layout: bpy.types.UILayout, session: Session, width: int) -> None:
    for pending in session.unfinished[:MOST_UNFINISHED]:
        box = layout.box()
        draw_lines(box, f"Unfinished: {pending.prompt}", width, "TIME")
        row = box.row(align=True)
        row.operator("mvdream.resume").job = pending.id
        row.operator("mvdream.forget").job = pending.id
    if (more := len(session.unfinished) - MOST_UNFINISHED) > 0:
        layout.label(text=f"and {more} more")


CLASSES = (MVDREAM_PT_generate, MVDREAM_PT_backend, MVDREAM_PT_dataset)
