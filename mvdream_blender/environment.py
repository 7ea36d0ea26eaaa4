# SPDX-License-Identifier: GPL-3.0-or-later
"""The backend's own Python environment: made once, marked when complete, never half used. Never imports bpy.

It is a venv in the extension's user folder made with Blender's Python, so that nothing is installed into
Blender and no other Python is needed.
"""

import hashlib
import json
import re
import secrets
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .errors import MVDreamError
from .locks import FileLock
from .processes import ChildProcess, child_environment, log_tail
from .tasks import Delay, Steps

NEEDED_BYTES = 8 << 30
MARKER = "complete.json"
# Blender's older Pythons bring a pip that can't report a download's progress. pip.txt pins it.
PIP = "pip>=24.1"
REMOVE = "import shutil, sys; shutil.rmtree(sys.argv[1], ignore_errors=True)"
CLEAR_SECONDS = 5.0
CHECK = "import fastapi, pydantic, torch, diffusers"


@dataclass
class InstallProgress:
    """How far an installation is. `fraction` is that of the file being fetched, None between files."""

    message: str = "Preparing"
    fraction: float | None = None


Report = Callable[[InstallProgress], None]


class Environment:
    """The venv in one folder for one list of requirements."""

    def __init__(self, folder: Path, requirements: Path, base_python: Path | None = None) -> None:
        """
        Args:
            folder: where the venv is or will be; all of it belongs to this class.
            requirements: pip's list of packages.
            base_python: the Python it is made with; None: the one that runs this.
        """
        self.folder = folder
        self.requirements = requirements
        self.base_python = base_python or Path(sys.executable)
        self.log_file = folder.parent / "install.log"

    @property
    def python(self) -> Path:
        """The environment's Python, whether it exists or not."""
        if sys.platform == "win32":
            return self.folder / "Scripts" / "python.exe"
        return self.folder / "bin" / "python"

    @property
    def ready(self) -> bool:
        """True where it is complete, for these requirements, this Python and this place."""
        try:
            marker = json.loads((self.folder / MARKER).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return marker == self._identity() and self.python.exists()

    def install(self, report: Report = lambda progress: None) -> Steps[None]:
        """Make it anew. Closing the steps kills the child processes; what is half made is never used.

        Raises:
            MVDreamError: no disk space, no network, a package that does not install (with the end of the
                log); another Blender installs.
        """
        self._check_surroundings()
        lock = FileLock(self.folder.with_suffix(".lock"))
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            if not lock.acquire():
                raise MVDreamError(
                    "Another Blender is installing the backend. Wait until it is done: this one uses it, too."
                )
            self.log_file.write_bytes(b"")
            yield from self._install(report)
        except OSError as error:
            raise MVDreamError(
                f"The environment at {self.folder} can't be written: {error.strerror or error}."
            ) from None
        finally:
            lock.release()

    def _install(self, report: Report) -> Steps[None]:
        progress = InstallProgress()
        yield from self._clear(progress, report)
        progress.message = "Making a Python environment"
        report(progress)
        python = str(self.python)
        pip = [python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
        yield from self._command([str(self.base_python), "-m", "venv", str(self.folder)], progress, report)
        yield from self._command([*pip, "--upgrade", *self._pip()], progress, report)
        packages = [*pip, "--progress-bar", "raw", "-r", str(self.requirements)]
        yield from self._command(packages, progress, report)
        progress.message, progress.fraction = "Checking the installation", None
        report(progress)
        yield from self._command([python, "-c", CHECK], progress, report)
        self._mark()
        report(InstallProgress("Installed", 1.0))

    def _clear(self, progress: InstallProgress, report: Report) -> Steps[None]:
        """Move what is there aside, which takes no time, and have a child process delete its many files."""
        deadline = time.monotonic() + CLEAR_SECONDS
        while self.folder.exists():
            try:
                (self.folder / MARKER).unlink(missing_ok=True)
                self.folder.rename(self.folder.with_name(f"{self.folder.name}.old-{secrets.token_hex(4)}"))
            except OSError as error:
                # On Windows for as long as a process that is just ending holds a file.
                if time.monotonic() > deadline:
                    raise MVDreamError(
                        f"The environment at {self.folder} can't be replaced: {error.strerror or error}. "
                        "End what uses it, such as another Blender, then install again.",
                        fix="install",
                    ) from None
                yield Delay(0.25)
        for old in sorted(self.folder.parent.glob(f"{self.folder.name}.old-*")):
            progress.message = "Removing the old environment"
            report(progress)
            yield from self._command([str(self.base_python), "-I", "-c", REMOVE, str(old)], progress, report)

    def _command(self, command: list[str], progress: InstallProgress, report: Report) -> Steps[None]:
        try:
            child = ChildProcess(command, self.log_file, child_environment(), self.folder.parent)
        except OSError as error:
            raise MVDreamError(
                f"{command[0]} can't be started: {error.strerror or error}.", fix="install"
            ) from None
        try:
            running = True
            while running:
                running = not child.poll()
                if _read(child.new_output(), progress):
                    report(progress)
                yield Delay(0.1 if running else 0.0)
        finally:
            child.close()
        if child.code:
            raise MVDreamError(self._failure(), fix="install")

    def _pip(self) -> list[str]:
        pinned = self.requirements.with_name("pip.txt")
        return ["-r", str(pinned)] if pinned.is_file() else [PIP]

    def _check_surroundings(self) -> None:
        if not self.requirements.is_file():
            raise MVDreamError(
                f"The list of packages {self.requirements} is missing: install the extension again."
            )
        place = next(folder for folder in self.folder.parents if folder.exists())
        free = shutil.disk_usage(place).free
        if free < NEEDED_BYTES:
            raise MVDreamError(
                f"The backend needs {NEEDED_BYTES >> 30} GB of disk space at {place}; "
                f"{free / (1 << 30):.1f} GB are free. Make room, then install again."
            )

    def _failure(self) -> str:
        tail = log_tail(self.log_file)
        reason = "The installation of the backend failed."
        if "No space left" in tail or "not enough space" in tail:
            reason = "The disk became full while the backend was installed."
        elif any(
            sign in tail
            for sign in ("NameResolutionError", "Failed to establish", "getaddrinfo", "ProxyError")
        ):
            reason = "The package index can't be reached: check the network, then install again."
        elif "WinError 206" in tail or "Enable Long Path" in tail:
            reason = "Windows allows no path this long: switch on LongPathsEnabled, then install again."
        elif "ensurepip" in tail:
            reason = (
                f"{self.base_python} can't make environments: python3-venv is missing (so Debian calls it)."
            )
        return f"{reason}\nThe end of {self.log_file}:\n{tail}"

    def _identity(self) -> dict[str, str]:
        try:
            packages = hashlib.sha256(self.requirements.read_bytes()).hexdigest()
        except OSError:
            packages = ""
        # A venv does not survive being moved or copied to another Blender's folder, so the place counts too.
        version = ".".join(map(str, sys.version_info[:2]))
        return {"requirements": packages, "folder": str(self.folder), "python": version}

    def _mark(self) -> None:
        beside = self.folder / (MARKER + ".new")
        beside.write_text(json.dumps(self._identity()), encoding="utf-8")
        beside.replace(self.folder / MARKER)


_RAW = re.compile(r"^Progress (\d+) of (\d+)\s*$")
_TELLING = ("Collecting ", "Downloading ", "Installing ", "Building ", "Using cached ", "Successfully ")


def _read(output: str, progress: InstallProgress) -> bool:
    """Take over what pip's output says. True where something changed."""
    changed = False
    for line in output.splitlines():
        bar = _RAW.match(line)
        if bar and int(bar[2]):
            progress.fraction = int(bar[1]) / int(bar[2])
        elif line.strip().startswith(_TELLING):
            progress.message, progress.fraction = line.strip()[:100], None
        else:
            continue
        changed = True
    return changed
