# SPDX-License-Identifier: GPL-3.0-or-later
"""Install, start, restart and stop the backend."""

import bpy

from .. import upkeep
from ..console import told
from .waiting import begin, may_begin


class _IdleOperator:
    """Only while nothing is under way."""

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        return may_begin(cls)


class MVDREAM_OT_install_backend(_IdleOperator, bpy.types.Operator):
    """Make the backend's own Python environment and fetch its packages, some GB"""

    bl_idname = "mvdream.install_backend"
    bl_label = "Install Backend"

    def execute(self, _context: bpy.types.Context) -> set[str]:
        with told() as progress:
            return begin(self, upkeep.install, lambda session: progress.installation(session.installing))


class MVDREAM_OT_restart_backend(_IdleOperator, bpy.types.Operator):
    """Start the backend anew and go on with the job that was interrupted"""

    bl_idname = "mvdream.restart_backend"
    bl_label = "Restart Backend"

    def execute(self, _context: bpy.types.Context) -> set[str]:
        return begin(self, upkeep.restart)


class MVDREAM_OT_stop_backend(_IdleOperator, bpy.types.Operator):
    """End the backend's process; the next Generate starts it again"""

    bl_idname = "mvdream.stop_backend"
    bl_label = "Stop Backend"

    def execute(self, _context: bpy.types.Context) -> set[str]:
        return begin(self, upkeep.stop)


CLASSES = (MVDREAM_OT_install_backend, MVDREAM_OT_restart_backend, MVDREAM_OT_stop_backend)
