# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things are and what the preferences say, in one value. Never imports bpy."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from .environment import Environment
from .errors import MVDreamError
from .hardware import TITLES, Compute, Computer, Platform
from .torch_builds import INDEX

PYTHON_VARIABLE = "MVDREAM_BACKEND_PYTHON"
ADDON_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Configuration:
    """What a task has to know about its surroundings.

    Attributes:
        user_folder: the one folder the add-on may write to.
        python: a Python with the backend's packages that the user named; "" for the add-on's own environment.
        remote_url: address of a backend that runs elsewhere; "" for a local one.
        compute: what the user wants PyTorch to compute on; "auto" for the best there is.
        online: whether Blender allows the internet.
        source: the folder that holds the package `backend`.
    """

    user_folder: Path
    python: str = ""
    remote_url: str = ""
    remote_token: str = ""
    compute: Compute = "auto"
    online: bool = False
    source: Path = ADDON_FOLDER

    @property
    def data(self) -> Path:
        """The backend's data folder."""
        return self.user_folder / "data"

    @property
    def environment(self) -> Environment:
        """The add-on's own environment for the backend. Its name is short, for Windows' limit on paths."""
        requirements = self.source / "requirements" / "backend.txt"
        return Environment(self.user_folder / "env", requirements, platform=self.platform)

    @property
    def platform(self) -> Platform:
        """What the add-on's own environment shall compute on, by the hardware as it is now."""
        return Computer().platform_for(self.compute)

    @property
    def advice(self) -> str:
        """Why to install again, for another platform than that of the add-on's own environment; "" if not.

        Looks at the disk, so it is nothing to call while drawing.
        """
        environment = self.environment
        built, platform = environment.built, environment.platform
        # For processors every build is good: a card that is away for a while is no reason to fetch another.
        spare = self.compute == "auto" and platform == "cpu"
        if self.remote_url or self.python or not environment.ready or built in ("", platform) or spare:
            return ""
        there = f"PyTorch is installed for {TITLES.get(built, built)}"
        if environment.wanted == platform:
            return (
                f"{there}: the build for {TITLES[platform]} could not be had from {INDEX}. "
                "Install Backend tries again."
            )
        return f"{there}. Install Backend fetches the build for {TITLES[platform]}."

    def backend_python(self) -> Path | None:
        """The Python to start the backend with; None where it has to be installed first.

        Raises:
            MVDreamError: the one that the user named does not exist.
        """
        if self.python:
            python = Path(self.python).expanduser()
            if not python.is_file():
                raise MVDreamError(
                    f"There is no Python at {python}: correct it in the add-on's preferences or in "
                    f"the variable {PYTHON_VARIABLE}.",
                    fix="preferences",
                )
            return python
        environment = self.environment
        return environment.python if environment.ready else None

    @property
    def installed(self) -> bool:
        """Whether a backend can be started, or is elsewhere."""
        if self.remote_url:
            return True
        try:
            return self.backend_python() is not None
        except MVDreamError:
            return False


def source_folder() -> Path:
    """The folder that holds `backend`: the add-on's own in the built extension, its parent in a checkout."""
    return ADDON_FOLDER if (ADDON_FOLDER / "backend").is_dir() else ADDON_FOLDER.parent


def version() -> str:
    """The add-on's version, from the one place where it stands: blender_manifest.toml."""
    for folder in (ADDON_FOLDER, ADDON_FOLDER.parent):
        manifest = folder / "blender_manifest.toml"
        if manifest.is_file():
            return str(tomllib.loads(manifest.read_text(encoding="utf-8"))["version"])
    raise FileNotFoundError("blender_manifest.toml is missing: install the extension again")
