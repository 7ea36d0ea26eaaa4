# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder a job works in: checked before any long work starts."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backend.errors import UserError
from backend.service.locks import FileLock

LOCK = "in-use.lock"
NEEDED_BYTES = 300 * 2**20


def prepare_folder(folder: Path) -> Path:
    """Makes `folder` if need be and returns it.

    Raises UserError when it can't be made or written to, or when its disk has too little room.
    """
    there = os.path.isdir(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"The folder {folder} can't be written to ({error.strerror or error}). Choose another place."
        ) from error
    free = shutil.disk_usage(folder).free
    if free < NEEDED_BYTES:
        if not there:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise UserError(
            f"The disk of {folder} has {free // 2**20} MB left and a job needs {NEEDED_BYTES // 2**20} MB."
            " Free some space, or choose a folder on another disk."
        )
    return folder


@contextmanager
def claimed_folder(folder: Path) -> Iterator[None]:
    """`folder`, made if need be, for this process alone; removed at the end if nothing is left in it.

    Raises UserError when it can't be had, or another process works there.
    """
    made = prepare_folder(folder)
    lock = FileLock(made / LOCK)
    if not lock.acquire():
        holder = lock.holder()
        who = "Another process" if holder is None else f"Another process (number {holder})"
        raise UserError(
            f"{who} is making this file; its work lies in {folder}."
            " Wait for it, end it, or choose another name."
        )
    try:
        yield
    finally:
        # Whoever opened it before sees it locked and gives up; whoever comes now starts a new one.
        with contextlib.suppress(OSError):
            (made / LOCK).unlink()
        lock.release()
        with contextlib.suppress(OSError):  # somebody's files stay where they are
            made.rmdir()


def write_text(path: Path, text: str) -> None:
    """Writes a file beside, then renames it."""
    scratch = path.with_name(path.name + ".part")
    scratch.write_text(text, encoding="utf-8")
    os.replace(scratch, path)
