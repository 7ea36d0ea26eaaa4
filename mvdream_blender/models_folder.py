# SPDX-License-Identifier: GPL-3.0-or-later
"""The models on this computer, as far as a look into their folder tells. Never imports bpy.

The rules are the backend's (backend/diffusion/registry.py), which can't be imported here; a test compares.
"""

import json
import os
import re
import sys
from dataclasses import replace
from pathlib import Path

from .errors import MVDreamError
from .models import KNOWN, Model, in_order

VARIABLE = "MVDREAM_MODELS"
CONFIG_FILE = "mvdream.json"
DOWNLOADS = ".downloads"
MOST = 100
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_UNFINISHED = (".part", ".partial", ".tmp")


def models_folder() -> Path:
    """Where the backend that this Blender starts keeps its models, absolute. It may not exist yet.

    Raises:
        MVDreamError: the user whose folder MVDREAM_MODELS names does not exist, or nobody has a home.
    """
    chosen = os.environ.get(VARIABLE)
    try:
        if chosen:
            return Path(chosen).expanduser().absolute()
        return _cache_folder() / "mvdream-blender" / "models"
    except RuntimeError:
        named = f"the variable {VARIABLE} is {chosen!r}" if chosen else "there is no home folder"
        raise MVDreamError(
            f"There is no folder for models: {named}. Set {VARIABLE} to a folder, then start Blender again."
        ) from None


def look(folder: Path) -> tuple[Model, ...]:
    """The known models, there or not, and the user's own. Reads one small file a model, 100 at most."""
    found = {model.name: replace(model, downloaded_bytes=_downloaded(folder, model)) for model in KNOWN}
    for name in _names(folder)[:MOST]:
        if name == KNOWN[0].name:
            continue  # the one that ships wins
        title, broken = _title(folder / name)
        known = found.get(name, Model(name, title or name))
        found[name] = replace(known, installed=not broken, removable=True, downloaded_bytes=0, broken=broken)
    return in_order([replace(model, removable=_is_removable(model)) for model in found.values()])


def _is_removable(model: Model) -> bool:
    return model.removable or model.downloaded_bytes > 0


def _names(folder: Path) -> list[str]:
    try:
        there = sorted(config.parent.name for config in folder.glob(f"*/{CONFIG_FILE}"))
    except OSError:
        return []
    return [name for name in there if _NAME.fullmatch(name) and not name.endswith(_UNFINISHED)]


def _title(folder: Path) -> tuple[str, str]:
    """What a model calls itself, "" for nothing; and what is wrong with it, as far as a look tells."""
    file = folder / CONFIG_FILE
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        _ = values["name"], values["image_size"]  # what every configuration has
        return str(values.get("title") or ""), ""
    except OSError as error:
        return "", f"The model file {file} can't be read: {error.strerror or error}."
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", f"The model file {file} is broken."


def _downloaded(folder: Path, model: Model) -> int:
    try:
        files = [file for file in (folder / DOWNLOADS / model.name).glob("*") if file.suffix != ".json"]
        return sum(file.stat().st_size for file in files)
    except OSError:
        return 0


def _cache_folder() -> Path:
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return Path(local) if local else Path.home() / "AppData" / "Local"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    return Path(chosen) if os.path.isabs(chosen) else Path.home() / ".cache"
