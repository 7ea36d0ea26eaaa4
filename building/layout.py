# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things are: in the checkout, and in the user's cache folder, which all checkouts share."""

import os
import tomllib
from pathlib import Path

from backend.cache_folder import cache_folder as usual_cache_folder
from building.errors import BuildError

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "requirements"
MANIFEST = ROOT / "blender_manifest.toml"
DIST = ROOT / "dist"
OUT = ROOT / "out"
CACHE_VARIABLE = "MVDREAM_CACHE"


def version() -> str:
    """The project's version, from the one place where it stands: blender_manifest.toml."""
    return str(manifest()["version"])


def manifest() -> dict[str, object]:
    """The extension's manifest.

    Raises:
        BuildError: it is missing or not TOML.
    """
    try:
        return tomllib.loads(MANIFEST.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise BuildError(f"{MANIFEST} can't be read: {error}. Is the checkout complete?") from None


def cache_folder() -> Path:
    """The folder that environments are kept in, made when it is missing.

    It is MVDREAM_CACHE where that is set, else `mvdream-blender` where this system keeps caches.

    Raises:
        BuildError: it can't be made.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    try:
        folder = Path(chosen).expanduser().absolute() if chosen else usual_cache_folder()
    except RuntimeError as error:
        raise BuildError(f"There is no home folder ({error}). Set {CACHE_VARIABLE} to a folder.") from None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BuildError(
            f"The cache folder {folder} can't be made: {error.strerror}. "
            f"Set {CACHE_VARIABLE} to a folder that can."
        ) from None
    return folder
