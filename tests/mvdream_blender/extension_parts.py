# SPDX-License-Identifier: GPL-3.0-or-later
"""The name under which Blender knows the add-on, and its modules. A module of its own: conftest runs once."""

import importlib

EXTENSION = "bl_ext.user_default.mvdream_blender"


def part(name):
    """A module of the enabled add-on."""
    return importlib.import_module(f"{EXTENSION}.{name}")
