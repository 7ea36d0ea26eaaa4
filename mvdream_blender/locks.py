# SPDX-License-Identifier: GPL-3.0-or-later
"""A lock between Blenders, on a file; the system takes it back when its holder dies. Never imports bpy."""

import sys
from pathlib import Path
from typing import BinaryIO

if sys.platform == "win32":
    import msvcrt

    def _lock(file: BinaryIO) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(file: BinaryIO) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class FileLock:
    """An exclusive lock on `path`, which stays: two Blenders could lock two files of one name otherwise."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def acquire(self) -> bool:
        """Take the lock without waiting. False where somebody else holds it.

        Raises:
            OSError: the file can't be opened for writing.
        """
        file = open(self._path, "ab")  # noqa: SIM115 - kept open as long as the lock is held
        try:
            _lock(file)
        except OSError:
            file.close()
            return False
        self._file = file
        return True

    def release(self) -> None:
        """Give the lock back; one that is not held is fine."""
        if self._file is not None:
            self._file.close()
            self._file = None


def is_held(path: Path) -> bool:
    """True while somebody holds the lock on `path`. Makes no file.

    Who tries to take the lock at this very moment may be told that it is held.

    Raises:
        OSError: the file can't be opened for writing.
    """
    if not path.exists():
        return False
    lock = FileLock(path)
    try:
        return not lock.acquire()
    finally:
        lock.release()
