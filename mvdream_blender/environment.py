# SPDX-License-Identifier: GPL-3.0-or-later
"""The backend's own Python environment: made once, marked when complete, never half used. Never imports bpy.

It is a venv in the extension's user folder made with Blender's Python, so that nothing is installed into
Blender and no other Python is needed.
"""

import contextlib
import logging
import shutil
import sys
import time
from pathlib import Path

from .environment_marker import identity, mark, marked, read_json
from .errors import MVDreamError
from .hardware import SMI_QUERY, TITLES, Computer, Platform
from .install_output import InstallProgress, Report, is_not_there, reason
from .locks import FileLock
from .processes import ChildProcess, child_environment, log_tail
from .replacing import Replacement
from .tasks import Delay, Steps
from .torch_builds import GB, NEEDED_BYTES, build_for

log = logging.getLogger(__name__)

# Blender's older Pythons bring a pip that can't report a download's progress. pip.txt pins it.
PIP = "pip>=24.1"
REMOVE = "import shutil, sys; shutil.rmtree(sys.argv[1], ignore_errors=True)"
SMI_SECONDS = 20.0
# Whether all of it starts, and for which platform the PyTorch is that was found in the end.
CHECK = """
import json, sys, fastapi, pydantic, torch, diffusers
has = torch.version
built = "cuda" if has.cuda else "rocm" if has.hip else "mps" if torch.backends.mps.is_built() else "cpu"
with open(sys.argv[1], "w") as file:
    json.dump({"torch": torch.__version__, "built": built}, file)
"""


class Environment:
    """The venv in one folder for one list of requirements and one platform."""

    def __init__(
        self,
        folder: Path,
        requirements: Path,
        base_python: Path | None = None,
        platform: Platform = "cpu",
        computer: Computer | None = None,
    ) -> None:
        """
        Args:
            folder: where the venv is or will be; all of it belongs to this class.
            requirements: pip's list of packages.
            base_python: the Python it is made with; None: the one that runs this.
            platform: what PyTorch shall compute on.
            computer: the computer it is for; None: this one.
        """
        self.folder = folder
        self.requirements = requirements
        self.base_python = base_python or Path(sys.executable)
        self.platform = platform
        self.computer = computer or Computer()
        self.log_file = folder.parent / "install.log"
        # Downloads go beside the environment and not to /tmp, which may be a small disk in memory. What a
        # killed pip leaves there goes with the old environments.
        self._downloads = folder.with_name(f"{folder.name}.old-downloads")
        self._replacement = Replacement(folder, self._is_complete)
        self._lock = folder.with_suffix(".lock")

    @property
    def python(self) -> Path:
        """The environment's Python, whether it exists or not."""
        if sys.platform == "win32":
            return self.folder / "Scripts" / "python.exe"
        return self.folder / "bin" / "python"

    @property
    def ready(self) -> bool:
        """True where it is complete, for these requirements, this Python and this place, on any platform."""
        return self._is_complete(self.folder)

    def _is_complete(self, where: Path) -> bool:
        wanted = identity(self.folder, self.requirements)
        python = where / self.python.relative_to(self.folder)
        return wanted.items() <= marked(where).items() and python.exists()

    @property
    def wanted(self) -> str:
        """The platform it was made for; "" where that is not known."""
        return str(marked(self.folder).get("wanted", ""))

    @property
    def built(self) -> str:
        """The platform that its PyTorch is for, another one where that build could not be had; "" unknown."""
        return str(marked(self.folder).get("built", ""))

    def install(self, report: Report = lambda progress: None) -> Steps[None]:
        """Make it anew. Closing the steps kills the child processes; what is half made is never used.

        One that is ready comes back where the new one does not become ready.

        Raises:
            MVDreamError: no disk space, no network, a package that does not install (with the end of the
                log); another Blender installs; there is no PyTorch for the platform here.
        """
        self._check_surroundings()
        build_for(self.platform, self.computer)
        lock = FileLock(self._lock)
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

    def recover(self) -> None:
        """Bring back the environment that an installation has set aside and could neither finish nor undo.

        For where Blender died meanwhile, or files were still open. While an installation goes on: nothing.
        """
        if not self._replacement.is_left:
            return
        lock = FileLock(self._lock)
        try:
            if lock.acquire():
                self._replacement.bring_back()
        except OSError as error:
            log.warning("%s can't be brought back: %s", self.folder, error)
        finally:
            lock.release()

    def _install(self, report: Report) -> Steps[None]:
        progress = InstallProgress()
        replacement = self._replacement
        replacement.bring_back()  # from an installation that nobody could undo
        yield from replacement.set_aside()
        try:
            yield from self._remove_old(progress, report)
            yield from self._make(progress, report)
        except BaseException:  # also where the steps are closed
            replacement.bring_back()
            raise
        replacement.settle()
        yield from self._remove_old(progress, report)
        report(InstallProgress("Installed", 1.0))

    def _make(self, progress: InstallProgress, report: Report) -> Steps[None]:
        progress.message = "Making a Python environment"
        report(progress)
        python = str(self.python)
        pip = [python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
        yield from self._command([str(self.base_python), "-m", "venv", str(self.folder)], progress, report)
        self._downloads.mkdir(exist_ok=True)
        yield from self._command([*pip, "--upgrade", *self._pip()], progress, report)
        pip += ["--progress-bar", "raw"]
        more = yield from self._install_torch(pip, progress, report)
        yield from self._command([*pip, "-r", str(self.requirements), *more], progress, report)
        with contextlib.suppress(OSError):  # not empty: it goes with the next installation
            self._downloads.rmdir()
        progress.message, progress.fraction = "Checking the installation", None
        report(progress)
        found = self.folder / "found.json"
        yield from self._command([python, "-c", CHECK, str(found)], progress, report)
        place = identity(self.folder, self.requirements)
        mark(self.folder, read_json(found) | {"wanted": self.platform} | place)

    def _install_torch(self, pip: list[str], progress: InstallProgress, report: Report) -> Steps[list[str]]:
        """Install the build of PyTorch for the platform, alone; what it needs comes with all the rest.

        Returns:
            Arguments for the rest. Where the build can't be had the rest brings the default index's.
        """
        build = build_for(self.platform, self.computer, (yield from self._ask_nvidia()))
        requirement = build.requirement(self.requirements)
        if requirement is None:
            return []
        # An index that does not answer is tried for more than a minute.
        progress.message, progress.fraction = f"Fetching PyTorch for {TITLES[self.platform]}", None
        report(progress)
        self._say(f"PyTorch for {self.platform}: {requirement} from {build.url}")
        command = [*pip, "--no-deps", "--index-url", build.url, requirement]
        if not (yield from self._run(command, progress, report)):
            # ROCm's Triton is nowhere else; what CUDA's build needs is on PyPI.
            return ["--extra-index-url", build.url] if build.platform == "rocm" else []
        if not is_not_there(log_tail(self.log_file, 4)):
            raise MVDreamError(self._failure(), fix="install")
        progress.message = f"{requirement} can't be had from {build.url}: taking the default index's build"
        report(progress)
        self._say(progress.message)
        self._check_room(NEEDED_BYTES["cuda" if self.computer.system == "linux" else build.platform])
        return []

    def _ask_nvidia(self) -> Steps[str]:
        """What the driver says about cards and itself; "" where there is nothing to ask, or no answer."""
        program = self.computer.nvidia_smi() if self.platform == "cuda" else None
        if program is None:
            return ""
        before = self.log_file.stat().st_size
        try:
            child = ChildProcess(
                [program, *SMI_QUERY], self.log_file, child_environment(), self.folder.parent
            )
        except OSError as error:
            self._say(f"{program} can't be started: {error.strerror or error}")
            return ""
        deadline = time.monotonic() + SMI_SECONDS
        try:
            while not child.poll() and time.monotonic() < deadline:
                yield Delay(0.1)
        finally:
            child.close()
        return self.log_file.read_bytes()[before:].decode("utf-8", "replace") if child.code == 0 else ""

    def _say(self, sentence: str) -> None:
        """Into the log of the installation, between the words of pip, and into Blender's."""
        log.info("%s", sentence)
        with self.log_file.open("a", encoding="utf-8") as file:
            file.write(f"{sentence}\n")

    def _remove_old(self, progress: InstallProgress, report: Report) -> Steps[None]:
        """Have a child process delete the many files of what nobody wants."""
        for old in self._replacement.old:
            progress.message, progress.fraction = "Removing the old environment", None
            report(progress)
            yield from self._run([str(self.base_python), "-I", "-c", REMOVE, str(old)], progress, report)

    def _command(self, command: list[str], progress: InstallProgress, report: Report) -> Steps[None]:
        if (yield from self._run(command, progress, report)):
            raise MVDreamError(self._failure(), fix="install")

    def _run(self, command: list[str], progress: InstallProgress, report: Report) -> Steps[int]:
        """Run a command and return its exit code."""
        downloads = str(self._downloads)
        place = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), downloads) if self._downloads.is_dir() else {}
        try:
            child = ChildProcess(command, self.log_file, child_environment(place), self.folder.parent)
        except OSError as error:
            raise MVDreamError(
                f"{command[0]} can't be started: {error.strerror or error}.", fix="install"
            ) from None
        try:
            running = True
            while running:
                running = not child.poll()
                if progress.read(child.new_output()):
                    report(progress)
                yield Delay(0.1 if running else 0.0)
        finally:
            child.close()
        return child.code or 0

    def _pip(self) -> list[str]:
        pinned = self.requirements.with_name("pip.txt")
        return ["-r", str(pinned)] if pinned.is_file() else [PIP]

    def _check_surroundings(self) -> None:
        if not self.requirements.is_file():
            raise MVDreamError(
                f"The list of packages {self.requirements} is missing: install the extension again."
            )
        self._check_room(NEEDED_BYTES[self.platform])

    def _check_room(self, needed: int) -> None:
        place = next(folder for folder in self.folder.parents if folder.exists())
        free = shutil.disk_usage(place).free
        if free < needed:
            raise MVDreamError(
                f"The backend needs {needed / GB:.0f} GB of disk space at {place}; "
                f"{free / GB:.1f} GB are free. Make room, then install again.",
                fix="install",
            )

    def _failure(self) -> str:
        tail = log_tail(self.log_file)
        return f"{reason(tail, self.base_python)}\nThe end of {self.log_file}:\n{tail}"
