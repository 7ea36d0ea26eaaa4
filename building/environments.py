# SPDX-License-Identifier: GPL-3.0-or-later
"""The environments of the project: which there are, where they are, and whether they are complete."""

import contextlib
import hashlib
import json
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from building import interpreters
from building.errors import BuildError
from building.interpreters import Interpreter
from building.layout import REQUIREMENTS, cache_folder

INSTALLER = "pip.txt"
MARKER = "complete.json"


@dataclass(frozen=True)
class Environment:
    """A virtual environment that is made of lock files.

    Args:
        name: "backend", "blender-5.0".
        requirements: its lock files, names in requirements/.
        python: the version of Python it needs.
        check: what must import for it to count as complete.
        roomy: GiB of disk that making it takes, generously.
    """

    name: str
    requirements: tuple[str, ...]
    python: tuple[int, int]
    check: str
    roomy: float

    @property
    def is_blender(self) -> bool:
        return self.name.startswith("blender-")

    def lock_files(self) -> list[Path]:
        """The lock files that it is made of."""
        return [REQUIREMENTS / name for name in self.requirements]

    def interpreter(self) -> Interpreter:
        """The Python it is made with.

        Raises:
            BuildError: there is none on this machine.
        """
        found = interpreters.find(self.python)
        if found is None or not (found.complete and found.wide):
            raise BuildError(interpreters.missing(self.python, found))
        return found

    def folder(self, interpreter: Interpreter) -> Path:
        """Where it is or will be. Other lock files, another Python, another machine type: another folder."""
        digest = hashlib.sha256(platform.machine().encode())
        digest.update(repr(interpreter.version).encode())
        for file in [REQUIREMENTS / INSTALLER, *self.lock_files()]:
            # Line ends differ between checkouts on Windows and elsewhere; the packages don't.
            digest.update(_read(file).replace(b"\r\n", b"\n"))
        return cache_folder() / "environments" / f"{self.name}-{digest.hexdigest()[:12]}"


BACKEND = Environment(
    "backend",
    ("backend.txt", "dev.txt"),
    (3, 11),
    "import torch, diffusers, transformers, fastapi, xatlas, pytest",
    3.0,
)
BLENDERS = {
    "4.2": Environment("blender-4.2", ("blender-4.2.txt",), (3, 11), "import bpy, pytest", 2.0),
    "5.0": Environment("blender-5.0", ("blender-5.0.txt",), (3, 11), "import bpy, pytest", 2.0),
    "5.2": Environment("blender-5.2", ("blender-5.2.txt",), (3, 13), "import bpy, pytest", 2.0),
}
DEFAULT_BLENDER = "5.0"
ALL = {environment.name: environment for environment in (BACKEND, *BLENDERS.values())}


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise BuildError(f"{file} can't be read: {error.strerror}. Is the checkout complete?") from None


def python_in(folder: Path) -> Path:
    """The Python of the environment in `folder`."""
    return folder / "Scripts" / "python.exe" if sys.platform == "win32" else folder / "bin" / "python"


def is_complete(folder: Path) -> bool:
    """Whether the environment in `folder` was made to the end, in this place, and its Python still exists."""
    try:
        marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return marker == {"folder": str(folder)} and python_in(folder).exists()


def mark_complete(folder: Path) -> None:
    """The last step of making one."""
    beside = folder / (MARKER + ".new")
    beside.write_text(json.dumps({"folder": str(folder)}), encoding="utf-8")
    beside.replace(folder / MARKER)


def mark_used(folder: Path) -> None:
    """For cleaning up what nobody uses any more. A cache that can't be written is still good to read."""
    with contextlib.suppress(OSError):
        os.utime(folder / MARKER)


def ready(environment: Environment) -> Path | None:
    """The Python of an environment that was made already; None where it was not. Makes nothing."""
    try:
        folder = environment.folder(environment.interpreter())
    except BuildError:
        return None
    return python_in(folder) if is_complete(folder) else None
