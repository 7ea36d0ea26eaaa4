# SPDX-License-Identifier: GPL-3.0-or-later
"""Child processes without windows, shells or threads. Never imports bpy."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# Blender sets some of these for its own Python; in another Python they point to the wrong standard library.
_FOREIGN = (
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "PYTHONEXECUTABLE",
    "PYTHONUSERBASE",
    "VIRTUAL_ENV",
    "__PYVENV_LAUNCHER__",
)


def child_flags() -> dict[str, Any]:
    """Arguments of Popen: a group of its own (Ctrl-C in the terminal is not for it), no console window."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def child_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what steers Blender's Python, plus `extra`."""
    kept = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    kept |= {"PYTHONNOUSERSITE": "1", "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}
    return kept | dict(extra or {})


def is_alive(pid: int) -> bool:
    """True while a process with this id exists (also another user's)."""
    if pid <= 0:
        return False
    if sys.platform == "win32":
        return _is_alive_windows(pid)
    try:
        # A child of ours that ended stays as a zombie, which kill takes for alive, until somebody asks.
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            return False
    except ChildProcessError:
        pass  # not a child of ours
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_alive_windows(pid: int) -> bool:
    # os.kill(pid, 0) would send Ctrl-C there.
    query_limited, still_active = 0x1000, 259
    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined]
    handle = kernel.OpenProcess(query_limited, False, pid)
    if not handle:
        return False
    code = ctypes.c_ulong()
    kernel.GetExitCodeProcess(handle, ctypes.byref(code))
    kernel.CloseHandle(handle)
    return code.value == still_active


def terminate(pid: int) -> None:
    """Ask a process to end (on Windows: end it). One that is gone already is fine."""
    try:
        os.kill(pid, signal.SIGTERM)
    except (ProcessLookupError, PermissionError, OSError):
        return


def _kill_tree_windows(pid: int) -> None:
    # Windows has no groups to kill at once; taskkill follows the tree, and runs beside.
    program = Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32" / "taskkill.exe"
    nowhere = {stream: subprocess.DEVNULL for stream in ("stdin", "stdout", "stderr")}
    subprocess.Popen([str(program), "/T", "/F", "/PID", str(pid)], **nowhere, **child_flags())


def log_tail(path: Path, lines: int = 12) -> str:
    """The last lines of a log, "" where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 16_384))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join([line.rstrip() for line in text.splitlines() if line.strip()][-lines:])


class ChildProcess:
    """A command that runs beside Blender with its output in a log file; a thing to wait for."""

    def __init__(
        self, command: Sequence[str], log: Path, environment: Mapping[str, str], folder: Path
    ) -> None:
        """Starts it.

        Raises:
            OSError: the program can't be started.
        """
        self.log = log
        self._offset = log.stat().st_size if log.exists() else 0
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd=folder,
                **child_flags(),
            )
        self.pid = self._process.pid

    @property
    def code(self) -> int | None:
        """Exit code; None while it runs."""
        return self._process.poll()

    def poll(self) -> bool:
        return self._process.poll() is not None

    def new_output(self) -> str:
        """What it wrote since the last call."""
        try:
            with self.log.open("rb") as file:
                file.seek(self._offset)
                data = file.read(1 << 20)
        except OSError:
            return ""
        self._offset += len(data)
        return data.decode("utf-8", "replace")

    def close(self) -> None:
        """Kill it and all it has started, where it still runs. Does not wait for them to be gone."""
        if self._process.poll() is not None:
            return
        # The zombie it becomes is reaped by the next Popen, or by `code`.
        if sys.platform == "win32":
            _kill_tree_windows(self.pid)
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):  # it ended this very moment
            os.killpg(self.pid, signal.SIGKILL)
