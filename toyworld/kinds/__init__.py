# SPDX-License-Identifier: GPL-3.0-or-later
"""Every kind of object the toy world knows, one function a kind, one file a topic."""

from . import registry
from .registry import Kind, kind

__all__ = ["Kind", "kind", "load_all"]


def load_all() -> dict[str, Kind]:
    """All kinds by name; imports every file of this folder (they need bpy)."""
    import importlib
    import pkgutil

    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return dict(sorted(registry.KINDS.items()))
