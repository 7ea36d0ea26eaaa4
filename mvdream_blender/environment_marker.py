# SPDX-License-Identifier: GPL-3.0-or-later
"""The file in a complete environment that says for what it was made. Never imports bpy."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

MARKER = "complete.json"


def identity(folder: Path, requirements: Path) -> dict[str, str]:
    """What has to be the same for an environment to be of use: packages, Python, place."""
    try:
        packages = hashlib.sha256(requirements.read_bytes()).hexdigest()
    except OSError:
        packages = ""
    # A venv does not survive being moved or copied to another Blender's folder, so the place counts too.
    version = ".".join(map(str, sys.version_info[:2]))
    return {"requirements": packages, "folder": str(folder), "python": version}


def mark(folder: Path, values: dict[str, Any]) -> None:
    """Write the marker, at once or not at all."""
    beside = folder / (MARKER + ".new")
    beside.write_text(json.dumps(values), encoding="utf-8")
    beside.replace(folder / MARKER)


def marked(folder: Path) -> dict[str, Any]:
    """What the marker says, nothing where there is none."""
    return read_json(folder / MARKER)


def read_json(file: Path) -> dict[str, Any]:
    """The object in a file, an empty one where it is missing or damaged."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
