# SPDX-License-Identifier: GPL-3.0-or-later
import os
import subprocess
import sys
from pathlib import Path

from backend.service.locks import FileLock

HOLD = """
import pathlib, sys
from backend.service.locks import FileLock
lock = FileLock(pathlib.Path(sys.argv[1]))
print(lock.acquire(), flush=True)
input()
"""


def test_who_holds_it_can_be_read_by_others(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as other:  # type: ignore[call-overload]
        assert other.stdout.readline() == "True\n"
        lock = FileLock(path)
        assert not lock.acquire()
        assert lock.holder() == other.pid
        other.communicate("\n")
    assert lock.acquire()
    assert lock.holder() == os.getpid()
    lock.release()


def test_a_file_of_an_older_version_names_nobody(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert FileLock(path).holder() is None
    path.write_bytes(b"")
    assert FileLock(path).holder() is None
    path.write_bytes(b"what else")
    assert FileLock(path).holder() is None
