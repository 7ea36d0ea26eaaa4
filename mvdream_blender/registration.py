# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything Blender has to know about, registered and unregistered in one place."""

import bpy

from . import panels, pictures, properties, runtime
from .importer import MVDREAM_OT_import_result
from .operators import backend, dataset, jobs, models, views
from .operators.generate import MVDREAM_OT_generate
from .preferences import MVDREAM_AP_preferences

CLASSES = (
    MVDREAM_AP_preferences,
    MVDREAM_OT_generate,
    MVDREAM_OT_import_result,
    *views.CLASSES,
    *jobs.CLASSES,
    *backend.CLASSES,
    *models.CLASSES,
    *dataset.CLASSES,
    *panels.CLASSES,
)


def register() -> None:
    properties.register()
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    runtime.start()


def unregister() -> None:
    runtime.stop()
    pictures.clear()
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
    properties.unregister()
