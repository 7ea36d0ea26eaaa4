# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds a Python of a wanted version on this machine.

build.py imports this file with whatever Python it was started with, to hand over to a suitable one:
nothing here is newer than Python 3.7.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import subprocess
import sys

PROBE = (
    "import sys, json\n"
    "try:\n import venv, ensurepip\n complete = True\n"
    "except ImportError:\n complete = False\n"
    "base = getattr(sys, '_base_executable', None) or sys.executable\n"
    "print(json.dumps([base, list(sys.version_info[:3]), complete, sys.maxsize > 2**32]))\n"
)


class Interpreter:
    """A Python that was started once and told about itself.

    Attributes:
        path: the executable; the one that a virtual environment was made from, not the environment's.
        version: (3, 11, 7).
        complete: whether it can make virtual environments: Debian splits that off into a package.
        wide: whether it is a 64-bit build, the only one that torch and Blender exist for.
    """

    def __init__(self, path: str, version: tuple[int, ...], complete: bool, wide: bool) -> None:
        self.path = path
        self.version = version
        self.complete = complete
        self.wide = wide


def find(wanted: tuple[int, int]) -> Interpreter | None:
    """The first usable Python of this version; failing that, one that lacks something; failing that, None."""
    found = None
    seen = set()
    for command in candidates(wanted):
        key = os.path.normcase(" ".join(command))
        if key in seen:
            continue
        seen.add(key)
        interpreter = probe(command)
        if interpreter is None or interpreter.version[:2] != wanted:
            continue
        if interpreter.complete and interpreter.wide:
            return interpreter
        found = found or interpreter
    return found


def candidates(wanted: tuple[int, int]) -> list[list[str]]:
    """Commands that may start a Python of this version, likely ones first. Not all of them exist."""
    name = "python%d.%d" % wanted  # noqa: UP031 (an older Python reads this)
    commands = []
    if sys.version_info[:2] == wanted:
        commands.append([sys.executable])
    for program in (name, "python3", "python"):
        path = shutil.which(program)
        if path:
            commands.append([path])
    if sys.platform == "win32":
        launcher = shutil.which("py")
        return commands + ([[launcher, "-%d.%d" % wanted]] if launcher else [])  # noqa: UP031
    for pattern in _places(name, "%d.%d" % wanted):  # noqa: UP031
        commands += [[path] for path in sorted(glob.glob(pattern), key=_natural, reverse=True)]
    return commands


def probe(command: list[str]) -> Interpreter | None:
    """Starts a Python and asks it about itself; None where it does not start, as some of pyenv's shims."""
    import json

    try:
        done = subprocess.run(
            [*command, "-I", "-c", PROBE],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=60,
            check=True,
        )
        path, version, complete, wide = json.loads(done.stdout.decode("utf-8"))
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return Interpreter(path, tuple(version), complete, wide)


def missing(wanted: tuple[int, int], found: Interpreter | None) -> str:
    """What to tell somebody whose Python of this version is missing (`found` is None) or lacks something."""
    name = "%d.%d" % wanted  # noqa: UP031
    if found is None:
        ways = {
            "win32": f"install it from python.org, or with `winget install Python.Python.{name}`",
            "darwin": f"install it with `brew install python@{name}`, or from python.org",
        }
        other = (
            f"install it (on Debian: `sudo apt-get install python{name} python{name}-venv`), or with pyenv"
        )
        return f"Python {name} is needed and was not found: {ways.get(sys.platform, other)}, then try again."
    if not found.wide:
        return (
            f"{found.path} is a 32-bit Python, and a 64-bit one is needed: install the 64-bit Python {name}."
        )
    return (
        f"{found.path} can't make virtual environments, its venv package is missing: "
        f"`sudo apt-get install python{name}-venv`, then try again."
    )


def _places(name: str, version: str) -> list[str]:
    """Where a Python may be that is not on the PATH, as patterns."""
    home = os.path.expanduser("~")
    pyenv = os.environ.get("PYENV_ROOT") or os.path.join(home, ".pyenv")
    return [
        os.path.join(pyenv, "versions", version + ".*", "bin", name),
        os.path.join("/usr/bin", name),
        os.path.join("/usr/local/bin", name),
        os.path.join("/opt/homebrew/bin", name),
        os.path.join("/Library/Frameworks/Python.framework/Versions", version, "bin", name),
        os.path.join(home, ".local/share/uv/python", "cpython-" + version + ".*", "bin", name),
    ]


def _natural(path: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", path)]
