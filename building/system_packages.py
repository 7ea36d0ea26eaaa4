# SPDX-License-Identifier: GPL-3.0-or-later
"""The system's libraries that Blender as a Python module needs, and the Debian packages that bring them."""

import ctypes
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from building import interpreters
from building.errors import BuildError

# What `ldd` lists for Blender 4.2 to 5.2 beyond the C library, and what they open when they draw (EGL).
LIBRARIES = {
    "libX11.so.6": "libx11-6",
    "libXext.so.6": "libxext6",
    "libXfixes.so.3": "libxfixes3",
    "libXi.so.6": "libxi6",
    "libXrender.so.1": "libxrender1",
    "libXxf86vm.so.1": "libxxf86vm1",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libSM.so.6": "libsm6",
    "libICE.so.6": "libice6",
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libgomp.so.1": "libgomp1",
    "libstdc++.so.6": "libstdc++6",
}
# Mesa draws where there is no graphics card. It is a driver, found by its file and not linked to.
DRIVER = "libgl1-mesa-dri"
_DRIVER_FILES = ("dri/swrast_dri.so", "dri/kms_swrast_dri.so", "libgallium-*.so", "libGLX_nvidia.so.0")


def missing(loads: Callable[[str], bool] | None = None) -> list[str]:
    """Names of Debian packages that Blender needs and that are not here; nothing on Windows and macOS.

    Args:
        loads: tells whether a library can be loaded; None: it is tried.
    """
    if not sys.platform.startswith("linux"):
        return []
    loads = loads or _loads
    packages = [package for library, package in LIBRARIES.items() if not loads(library)]
    if not _has_driver():
        packages.append(DRIVER)
    return packages


def missing_for_python(version: tuple[int, int]) -> list[str]:
    """Debian packages that bring a Python of this version, or what the one that is here lacks."""
    if not sys.platform.startswith("linux"):
        return []
    found = interpreters.find(version)
    name = f"python{version[0]}.{version[1]}"
    if found is None:
        return [name, f"{name}-venv"]
    return [] if found.complete else [f"{name}-venv"]


def require() -> None:
    """Raises:
    BuildError: libraries are missing; the message names them and the command that installs them.
    """
    packages = missing()
    if not packages:
        return
    if shutil.which("apt-get"):
        raise BuildError(
            f"Blender needs {len(packages)} system packages that are missing. Install them, then try again:\n"
            f"  sudo apt-get install -y --no-install-recommends {' '.join(packages)}"
        )
    libraries = [library for library, package in LIBRARIES.items() if package in packages]
    raise BuildError(
        f"Blender needs libraries that are missing here: {', '.join(libraries or ['a Mesa OpenGL driver'])}. "
        f"Install the packages that bring them (on Debian: {' '.join(packages)}), then try again."
    )


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _has_driver() -> bool:
    folders = [Path("/usr/lib64"), Path("/usr/lib"), *Path("/usr/lib").glob("*-linux-gnu*")]
    return any(next(folder.glob(pattern), None) for folder in folders for pattern in _DRIVER_FILES)
