# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on's preferences. The defaults need no look at them."""

import bpy

from .draw_models import draw_models
from .drawing import draw_error, draw_installation, letters

ADDON = __package__
COMPUTE = (
    ("auto", "Automatic", "The best that this machine has a card and a driver for"),
    ("cuda", "NVIDIA (CUDA)", "For NVIDIA cards on Windows and Linux: 10 GB of disk space"),
    ("rocm", "AMD (ROCm, Linux)", "For AMD cards on Linux: 32 GB of disk space"),
    ("cpu", "CPU only", "For processors, without any card: 3 GB of disk space"),
)


def _refresh(_preferences: bpy.types.AddonPreferences, _context: bpy.types.Context) -> None:
    from . import runtime  # imports this module itself

    runtime.session().refresh()


class MVDREAM_AP_preferences(bpy.types.AddonPreferences):
    """Another Python or another machine for the backend; the models."""

    bl_idname = ADDON

    backend_python: bpy.props.StringProperty(
        name="Python",
        description="A Python that has the backend's packages. Empty: the add-on makes its own environment",
        subtype="FILE_PATH",
        update=_refresh,
    )
    remote_url: bpy.props.StringProperty(
        name="Remote backend",
        description="Address of a backend on another machine, such as http://127.0.0.1:8000 at the end of an "
        "SSH tunnel, or https. Empty: a backend on this machine, started when needed",
        update=_refresh,
    )
    remote_token: bpy.props.StringProperty(
        name="Token",
        description="The token of the remote backend (MVDREAM_TOKEN there)",
        subtype="PASSWORD",
    )

    compute: bpy.props.EnumProperty(
        name="Compute",
        description="The PyTorch that Install Backend fetches. After a change, or with another graphics "
        "card, install again. Macs have one for all",
        items=COMPUTE,
        default="auto",
        update=_refresh,
    )

    def draw(self, context: bpy.types.Context) -> None:
        from . import runtime  # imports this module itself

        layout = self.layout
        layout.use_property_split = True
        row = layout.row()
        row.active = not (self.remote_url or self.backend_python)
        row.prop(self, "compute")
        layout.prop(self, "backend_python")
        layout.prop(self, "remote_url")
        row = layout.row()
        row.active = bool(self.remote_url)
        row.prop(self, "remote_token")
        buttons = layout.row()
        buttons.operator("mvdream.install_backend")
        buttons.operator("mvdream.restart_backend")
        buttons.operator("mvdream.stop_backend")
        session = runtime.peek()
        if session is not None:
            if session.doing == "install" and session.installing is not None:
                draw_installation(layout, session.installing, max(20, letters(context) - 6))
            if session.error is not None:
                draw_error(layout, session.error, max(20, letters(context) - 9))
            # Boxes in a box: their borders take some letters.
            draw_models(layout, session.library, max(20, letters(context) - 12))


def preferences() -> MVDREAM_AP_preferences | None:
    """The add-on's preferences; None where it was registered without being enabled (by a script)."""
    addon = bpy.context.preferences.addons.get(ADDON)
    return addon.preferences if addon is not None else None
