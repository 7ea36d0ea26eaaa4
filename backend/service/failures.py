# SPDX-License-Identifier: GPL-3.0-or-later
"""What happened to a job that failed, and what to do, in sentences for its user."""

import errno
import signal
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class _Ways:
    """What helps a job of a kind.

    less_memory: a sentence. again: the rest of "You can ...".
    """

    less_memory: str
    again: str


_WAYS = {
    "generate": _Ways(
        'Choose the preset "draft" or the small model, or close other programs.',
        "resume the job: it goes on from its last checkpoint, if it has one",
    ),
    "views": _Ways("Choose the small model, or close other programs.", "ask for the views again"),
    "download": _Ways(
        "Close other programs, then download the model again: what has come is kept.",
        "download the model again: what has come is kept",
    ),
}
_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "std::bad_alloc",
    "cublas_status_alloc_failed",
    "memoryerror",
)
_DISK_FULL = (
    "no space left on device",
    "os error 28",
    "not enough space on the disk",
    "os error 112",
    "disk is full",
)


def explain_exception(error: BaseException, folder: Path, kind: str) -> str:
    """For an exception in the worker that is nobody's fault but the surroundings', and for all the others.

    kind: of the job, for what helps it.
    """
    ways = _WAYS.get(kind, _WAYS["generate"])
    text = f"{type(error).__name__}: {error}".lower()
    if isinstance(error, MemoryError) or any(sign in text for sign in _OUT_OF_MEMORY):
        where = "the graphics card" if "cuda" in text or "mps" in text else "this computer"
        return f"The memory of {where} is not enough for this job. {ways.less_memory}"
    full = isinstance(error, OSError) and error.errno in (
        errno.ENOSPC,
        getattr(errno, "EDQUOT", errno.ENOSPC),
    )
    if full or any(sign in text for sign in _DISK_FULL):
        return f"The disk of {folder} is full. Make room, then {ways.again}."
    if isinstance(error, PermissionError):
        path = error.filename or folder
        return f"{path} may not be written or read. Change its permissions, then {ways.again}."
    if isinstance(error, ModuleNotFoundError):
        return f"The Python package {error.name!r} is missing in the backend's environment. Set it up again."
    return f"An unexpected error ended the job: {type(error).__name__}: {error}".rstrip(": ")


def explain_exit(code: int, kind: str, log: Path, start: int = 0) -> str:
    """For a worker that ended without a word.

    Args:
        code: its exit code, or minus the signal that ended it.
        kind: of the job, for what helps it.
        log: file with its standard error; its end is searched for the cause.
        start: size of the file when this worker started; what is before was said by others.
    """
    ways = _WAYS.get(kind, _WAYS["generate"])
    said = _tail(log, start)
    if any(sign in said.lower() for sign in _OUT_OF_MEMORY):
        return f"The worker ended because memory ran out. {ways.less_memory}"
    if code == -9:
        return f"The worker was killed by the system, most likely because memory ran out. {ways.less_memory}"
    if code in (-15, -2, 130):
        return f"The worker was stopped from outside. You can {ways.again}."
    how = (
        _signal_name(-code)
        if code < 0
        else f"exit code {code & 0xFFFFFFFF:#x}"
        if code > 255
        else f"exit code {code}"
    )
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "")
    words = f' Its last words: "{last[:300]}".' if last else ""
    return f"The worker crashed ({how}).{words} The whole log is {log}. You can {ways.again}."


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _tail(path: Path, start: int, size: int = 8192) -> str:
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(start, file.tell() - size))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""
