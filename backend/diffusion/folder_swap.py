# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes a model folder beside its place and puts it there only when it is complete. No torch."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backend.diffusion.config import CONFIG_FILE
from backend.errors import UserError

# What a converted or downloaded folder consists of. One with anything else in it is somebody's work.
_OWN = {CONFIG_FILE, "unet", "vae", "text_encoder", "tokenizer", "origin.json"}
_LITTER = {".DS_Store", "Thumbs.db", "desktop.ini"}
_STALE_SECONDS = 3600.0


@contextmanager
def replace_folder(out: Path, need: int) -> Iterator[Path]:
    """A context with an empty folder that becomes `out` at its end, in place of a model that was there.

    need: bytes that will be written. An exception in the context leaves everything as it was. Raises
    UserError: `out` holds something else, the disk has no room, or writing fails.
    """
    out = out.absolute()
    _refuse_foreign(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(out)
        _check_room(out.parent, need)
        beside = _fresh(out)
        try:
            yield beside
            _swap(beside, out)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except OSError as error:
        raise UserError(f"The model can't be written to {out}: {error.strerror or error}.") from error


def _refuse_foreign(out: Path) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise UserError(f"{out} is a file. Name a folder that the model can be written to.")
    foreign = sorted(entry.name for entry in out.iterdir() if entry.name not in _OWN | _LITTER)
    if foreign:
        raise UserError(
            f"The folder {out} holds other things ({', '.join(foreign[:3])}) and will not be replaced"
            " by a model."
            " Choose another folder, or clear it."
        )


def _check_room(folder: Path, need: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < need:
        raise UserError(
            f"The model needs {need / 10**9:.1f} GB on the disk of {folder}, where {free / 10**9:.1f}"
            " GB are free."
            " Make room, choose another folder, or halve it with 16-bit weights (--half)."
        )


def _remove_stale(out: Path) -> None:
    """Remove what conversions that were killed left beside `out`; a running one writes all the time."""
    for folder in out.parent.iterdir():
        if not folder.name.startswith(_prefix(out)):
            continue
        newest = max((path.stat().st_mtime for path in [folder, *folder.rglob("*")]), default=0.0)
        if time.time() - newest > _STALE_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def _swap(beside: Path, out: Path) -> None:
    if not out.exists():
        os.rename(beside, out)
        return
    old = _fresh(out)
    try:
        os.rename(out, old / out.name)
        try:
            os.rename(beside, out)
        except OSError:
            os.rename(old / out.name, out)
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _fresh(out: Path) -> Path:
    # Not tempfile's: its folders are for the owner alone, and this one stays.
    folder = out.with_name(_prefix(out) + secrets.token_hex(4))
    folder.mkdir()
    return folder


def _prefix(out: Path) -> str:
    return f".{out.name}.converting-"
