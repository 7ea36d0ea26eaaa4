# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes an environment: one at a time, marked when it is complete, never half used."""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from building import children, environments, faults, system_packages
from building.console import ProgressLine
from building.environments import Environment
from building.errors import BuildError
from building.installer_output import InstallerOutput
from building.interpreters import Interpreter
from building.layout import REQUIREMENTS
from building.locks import Busy, hold

UNUSED_DAYS = 30


def ensure(environment: Environment, again: bool = False) -> Path:
    """The environment's Python; the environment is made first where there is none.

    Args:
        again: make it anew even if it is complete.

    Raises:
        BuildError: no suitable Python, missing system packages, no network, a cache folder that is full or
            can't be written.
    """
    interpreter = environment.interpreter()
    if environment.is_blender:
        system_packages.require()
    folder = environment.folder(interpreter)
    if again or not environments.is_complete(folder):
        progress = ProgressLine(environment.name)
        try:
            with hold(
                _lock(folder), lambda: progress.show("another build is making it, waiting for that")
            ) as lock:
                # The other build may have made it by now.
                if again or not environments.is_complete(folder):
                    _make(environment, interpreter, folder, lock, progress)
        except BrokenPipeError:
            raise  # nobody reads the progress any more
        except OSError as error:
            progress.clear()
            raise BuildError(faults.in_cache(error, f"making {environment.name}", folder.parent)) from None
        except BaseException:
            progress.clear()
            raise
    environments.mark_used(folder)
    return environments.python_in(folder)


def _make(
    environment: Environment, interpreter: Interpreter, folder: Path, lock: int, progress: ProgressLine
) -> None:
    progress.show("making room")
    _remove(folder)
    _remove_unused(environment, folder)
    _check_disk(environment, folder.parent)
    log = folder.with_name(folder.name + ".log")
    log.write_bytes(b"")

    def run(command: list[str], output: InstallerOutput | None = None) -> None:
        code = _run(command, log, lock, output)
        if code:
            raise BuildError(_failure(environment, log, code))

    progress.show("making the environment")
    python = str(environments.python_in(folder))
    run([interpreter.path, "-m", "venv", str(folder)])
    install = [python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    progress.show("fetching the installer")
    run([*install, "-r", str(REQUIREMENTS / environments.INSTALLER)])
    output = InstallerOutput(environment.lock_files(), folder, progress.show)
    packages = [argument for file in environment.lock_files() for argument in ("-r", str(file))]
    run([*install, "--progress-bar", "raw", *packages], output)
    progress.show("checking it", 1.0)
    run([python, "-c", environment.check])
    environments.mark_complete(folder)
    progress.end("made")


def _run(command: list[str], log: Path, lock: int, output: InstallerOutput | None) -> int:
    # An installer that outlives a killed build keeps the lock: the next build must not meet it in the folder.
    inherited = {} if sys.platform == "win32" else {"pass_fds": (lock,)}
    with (
        log.open("a", encoding="utf-8") as file,
        children.child(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=children.environment(),
            encoding="utf-8",
            errors="replace",
            **inherited,
        ) as process,
    ):
        for line in children.lines(process, output.idle if output else lambda: None):
            if not line.startswith("Progress "):
                file.write(line)
            if output:
                output.line(line)
        return process.wait()


def _failure(environment: Environment, log: Path, code: int) -> str:
    lines = [
        line.rstrip()
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines()
        if line.strip()
    ]
    tail = "\n".join(lines[-200:])
    if re.search("No space left|not enough space|Disk quota exceeded", tail):
        return f"The disk became full while {environment.name} was made: free some space, then try again."
    if re.search(
        "NameResolutionError|Failed to establish|getaddrinfo|ProxyError|ConnectTimeout|ReadTimeout", tail
    ):
        return (
            f"The package index can't be reached, so {environment.name} was not made: "
            "check the network, then try again."
        )
    end = "\n  ".join(lines[-8:])
    return (
        f"The environment {environment.name} could not be made (exit code {code}). "
        f"The whole log is {log}; its end:\n  {end}"
    )


def _check_disk(environment: Environment, place: Path) -> None:
    free = shutil.disk_usage(place).free / 2**30
    if free < environment.roomy:
        raise BuildError(
            f"Making {environment.name} needs {environment.roomy:g} GB of disk space at {place}, "
            f"{free:.1f} GB are free."
        )


def _remove_unused(environment: Environment, current: Path) -> None:
    """Each change of a lock file leaves a gigabyte behind; what no checkout used for a month is removed."""
    for other in current.parent.glob(f"{environment.name}-*"):
        marker = other / environments.MARKER
        if other == current or not other.is_dir():
            continue
        try:
            used = (marker if marker.exists() else other).stat().st_mtime
            if time.time() - used > UNUSED_DAYS * 86_400:
                with hold(_lock(other)):
                    _remove(other)
        except (OSError, Busy, BuildError):
            continue  # it is in use, or not ours to remove


def _remove(folder: Path) -> None:
    """The marker goes first: what is removed half counts as incomplete."""
    try:
        (folder / environments.MARKER).unlink(missing_ok=True)
        if folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        raise BuildError(
            f"{folder} can't be replaced: {error.strerror} ({error.filename}). Is it in use?"
        ) from None


def _lock(folder: Path) -> Path:
    return folder.with_name(folder.name + ".lock")
