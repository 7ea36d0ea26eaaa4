# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes a model folder beside its place and puts it there only when it is complete. No torch.

Beside the folder NAME there may be, with eight random digits each: `.NAME.converting-*`, which is being
written; `.NAME.replaced-*`, an earlier model for the moment between two renames; `.NAME.removed-*`, which is
being deleted. Of a process that was killed they stay: `put_back` and `clear` look after them.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from backend.diffusion.config import CONFIG_FILE
from backend.errors import UserError

# What a converted or downloaded folder consists of. One with anything else in it is somebody's work.
_OWN = {CONFIG_FILE, "unet", "vae", "text_encoder", "tokenizer", "origin.json"}
_LITTER = {".DS_Store", "Thumbs.db", "desktop.ini"}
_STALE_SECONDS = 3600.0
_CONVERTING, _REPLACED, _REMOVED = "converting", "replaced", "removed"
_BESIDE = re.compile(rf"\.(.+)\.({_CONVERTING}|{_REPLACED}|{_REMOVED})-[0-9a-f]{{8}}")


@contextmanager
def replace_folder(out: Path, need: int) -> Iterator[Path]:
    """A context with an empty folder that becomes `out` at its end, in place of a model that was there.

    need: bytes that will be written. An exception in the context leaves everything as it was. Raises
    UserError: `out` holds something else, the disk has no room, or writing fails.
    """
    out = out.absolute()
    try:
        put_back(out)
        _refuse_foreign(out)
        out.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(out)
        _check_room(out.parent, need)
        beside = _place(out, _CONVERTING)
        # Not tempfile's: its folders are for the owner alone, and this one stays.
        beside.mkdir()
        try:
            yield beside
            _swap(beside, out)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except OSError as error:
        raise UserError(f"The model can't be written to {out}: {error.strerror or error}.") from error


def require_place(out: Path) -> None:
    """Raises UserError for an `out` that a model can't be written to; for before a checkpoint is read."""
    out = out.absolute()
    there = next((folder for folder in out.parents if folder.exists()), out)
    try:
        _refuse_foreign(out)
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise UserError(f"The model can't be written to {out}: {error.strerror or error}.") from error


def put_back(out: Path) -> None:
    """Ends what a process left between the two renames: the earlier model goes back to `out`.

    Where there is something at `out` it is the new model, and the earlier one is deleted. Raises OSError.
    """
    for parked in _beside(out, _REPLACED):
        if out.exists():
            _delete(parked, out)
        else:
            os.rename(parked, out)


def clear(out: Path) -> None:
    """Deletes all that killed processes left beside `out`; first an earlier model goes back to its place.

    Only for the holder of a lock that every writer of `out` takes. Raises OSError when a model can't go back.
    """
    put_back(out)
    for folder in (*_beside(out, _CONVERTING), *_beside(out, _REMOVED)):
        shutil.rmtree(folder, ignore_errors=True)


def remove_folder(out: Path) -> None:
    """Deletes `out`: gone at once under its name, however long the files take. Raises OSError."""
    doomed = _place(out, _REMOVED)
    os.rename(out, doomed)
    shutil.rmtree(doomed)


def leftovers(home: Path) -> dict[str, list[Path]]:
    """What lies beside the models in `home`, by their names: of processes at work, or that were killed."""
    found: dict[str, list[Path]] = {}
    if home.is_dir():
        for entry in sorted(home.iterdir()):
            if (match := _BESIDE.fullmatch(entry.name)) is not None:
                found.setdefault(match[1], []).append(entry)
    return found


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
            " Make room, choose another folder, or keep 16-bit weights, which take half of it."
        )


def _remove_stale(out: Path) -> None:
    """Remove what conversions that were killed left beside `out`; a running one writes all the time."""
    for folder in _beside(out, _CONVERTING):
        newest = max((path.stat().st_mtime for path in [folder, *folder.rglob("*")]), default=0.0)
        if time.time() - newest > _STALE_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def _swap(beside: Path, out: Path) -> None:
    if not out.exists():
        os.rename(beside, out)
        return
    old = _place(out, _REPLACED)
    os.rename(out, old)
    try:
        os.rename(beside, out)
    except OSError as error:
        try:
            os.rename(old, out)
        except OSError:
            raise UserError(
                f"The new model can't be put in its place, {out} ({error.strerror or error}), nor the earlier"
                f" one be put back. The earlier one is whole, in {old}: rename that folder, or convert again"
                " once the disk can be written to, which puts it back first."
            ) from error
        raise
    _delete(old, out)


def _delete(old: Path, out: Path) -> None:
    """Deletes an earlier model, under a name that nobody takes for a whole one."""
    doomed = _place(out, _REMOVED)
    with suppress(OSError):  # in use: the next run tries again
        os.rename(old, doomed)
        shutil.rmtree(doomed)


def _beside(out: Path, kind: str) -> list[Path]:
    return [path for path in leftovers(out.parent).get(out.name, []) if f".{kind}-" in path.name[-20:]]


def _place(out: Path, kind: str) -> Path:
    return out.with_name(f".{out.name}.{kind}-{secrets.token_hex(4)}")
