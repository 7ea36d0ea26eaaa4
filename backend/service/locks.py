# SPDX-License-Identifier: GPL-3.0-or-later
"""A lock that a process holds on a file and the system takes back when the process dies, however it dies."""

import contextlib
import os
import sys
import time
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
    """An exclusive lock on `path`.

    The file stays: if it were removed, two processes could lock two files of one name.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def acquire(self, wait: float = 0.0) -> bool:
        """Takes the lock, trying for `wait` seconds. False when somebody else holds it.

        Raises:
            OSError: the file cannot be opened for writing.
        """
        deadline = time.monotonic() + wait
        file = open(self._path, "ab", buffering=0)  # noqa: SIM115 - kept open as long as the lock is held
        while True:
            try:
                _lock(file)
            except OSError:
                if time.monotonic() >= deadline:
                    file.close()
                    return False
                time.sleep(0.05)
            else:
                self._file = file
                self._sign()
                return True

    def holder(self) -> int | None:
        """The number of the process that took it last; None where it did not get to say so."""
        try:
            with open(self._path, "rb") as file:
                file.seek(1)  # Windows lets nobody else read the byte that is locked
                return int(file.read())
        except (OSError, ValueError):
            return None

    def _sign(self) -> None:
        """Who holds it is for a message only: a full disk is no reason not to have it."""
        assert self._file is not None
        with contextlib.suppress(OSError):
            self._file.truncate(0)
            self._file.write(f" {os.getpid()}".encode())

    def release(self) -> None:
        """Gives the lock back; does nothing when it is not held."""
        if self._file is not None:
            self._file.close()
            self._file = None
