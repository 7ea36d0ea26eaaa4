# SPDX-License-Identifier: GPL-3.0-or-later
"""A lock between processes. The system lets go of it when its holder dies, however that happens."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
    import msvcrt

POLL_SECONDS = 0.2


class Busy(Exception):
    """Another process holds the lock."""


@contextmanager
def hold(path: Path, waiting: Callable[[], None] | None = None) -> Iterator[int]:
    """Holds the lock that belongs to `path`, a file that is made and stays.

    Args:
        waiting: called once when another process has it, and then that is waited for; None: nobody waits.

    Yields:
        The file descriptor. Where a child process inherits it (POSIX), the lock is held until the child is
        gone too: an installer whose parent was killed can't get into the way of the next one.

    Raises:
        Busy: another process holds it, and `waiting` is None.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        told = False
        while not _try(descriptor):
            if waiting is None:
                raise Busy(str(path))
            if not told:
                waiting()
                told = True
            time.sleep(POLL_SECONDS)
        yield descriptor
    finally:
        # Closing lets go, unless a child still has it.
        os.close(descriptor)


def _try(descriptor: int) -> bool:
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            os.lseek(descriptor, 0, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    except OSError:
        return False
    return True
