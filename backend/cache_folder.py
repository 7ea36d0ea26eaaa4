# SPDX-License-Identifier: GPL-3.0-or-later
"""Where this program keeps what it can get or make again. Standard library only: `building` uses it, too."""

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """Its own folder in the system's one for such things; it need not be there yet."""
    return _of_the_system() / "mvdream-blender"


def _of_the_system() -> Path:
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return Path(local) if local else Path.home() / "AppData" / "Local"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    # The XDG rule: a relative path is to be ignored.
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    return Path(chosen) if os.path.isabs(chosen) else Path.home() / ".cache"
