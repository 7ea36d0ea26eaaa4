# SPDX-License-Identifier: GPL-3.0-or-later
"""Files in the folders of jobs: which may be handed out, and writing them whole or not at all."""

import json
import os
import re
from pathlib import Path
from typing import Any

JOB_FILE = "job.json"
LOG_FILE = "worker.log"
LOCK_FILE = "worker.lock"
MEDIA_TYPES = {
    ".glb": "model/gltf-binary",
    ".json": "application/json",
    ".png": "image/png",
    ".webp": "image/webp",
    ".jpg": "image/jpeg",
}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_INTERNAL = (JOB_FILE, LOG_FILE, LOCK_FILE)


def is_plain_name(name: str) -> bool:
    """Whether `name` is one visible component of a path, of harmless characters."""
    return _NAME.fullmatch(name) is not None


def results(folder: Path) -> list[str]:
    """Names of a job's finished files: not the service's own, not checkpoints, not half-written ones."""
    return sorted(
        path.name
        for path in folder.iterdir()
        if path.suffix in MEDIA_TYPES
        and path.name not in _INTERNAL
        and not path.name.startswith("checkpoint")
        and locate(folder, path.name)
    )


def locate(folder: Path, name: str) -> Path | None:
    """The regular file `name` directly in `folder`, or None. Links are not followed."""
    path = folder / name
    if not is_plain_name(name) or path.is_symlink() or not path.is_file():
        return None
    return path


def write_json(path: Path, content: Any, private: bool = False) -> None:
    """Writes beside, then renames; `private`: readable by the owner alone from its first moment.

    Raises:
        OSError: no space, no permission.
    """
    beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600 if private else 0o666)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1, allow_nan=False)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
