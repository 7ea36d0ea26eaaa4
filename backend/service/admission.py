# SPDX-License-Identifier: GPL-3.0-or-later
"""Refuses, before any work, a job that cannot succeed. No torch: vocabulary and configuration are JSON."""

import os
import shutil
from pathlib import Path

from backend.default_model import certain_model
from backend.diffusion import registry
from backend.diffusion.config import read_config
from backend.errors import UserError
from backend.settings.request import Request

MIN_FREE_BYTES = 500 * 10**6


def admit(settings: Request, data_dir: Path) -> None:
    """Checks what can be checked at once: the model, the words of the prompts, room on the disk.

    Raises:
        UserError: what is wrong, and the way out.
    """
    name = certain_model(settings.model)
    tokenizer = find_model(name).tokenizer() if name else None
    if tokenizer is not None:
        tokenizer.encode(settings.prompt)
        tokenizer.encode(settings.negative_prompt or "", allow_empty=True)
    check_room(data_dir)


def find_model(name: str) -> registry.ModelEntry:
    """A model by its name or its folder's full path; a relative one would depend on the server's own folder.

    Raises:
        UserError: no such model, or one whose configuration is broken.
    """
    try:
        folder = Path(name).expanduser()
        if name in registry.folders() or not folder.is_absolute():
            return registry.find(name)
        folder = registry.resolve(folder)
        return registry.ModelEntry(folder.name, folder, read_config(folder))
    except (
        OSError,
        RuntimeError,
    ) as error:  # a name too long for a file, no permission, no home for "~nobody"
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"The model {name[:60]!r} cannot be read: {reason}.") from None


def check_room(data_dir: Path) -> None:
    """Raises UserError where a job could not write its files."""
    if not os.access(data_dir, os.W_OK | os.X_OK):
        raise UserError(
            f"The data folder {data_dir} is not writable. Change its permissions or choose another one."
        )
    free = shutil.disk_usage(data_dir).free
    if free < MIN_FREE_BYTES:
        raise UserError(
            f"Only {free / 10**6:.0f} MB are free on the disk of {data_dir}; a job needs"
            f" {MIN_FREE_BYTES / 10**6:.0f} MB. Make room, or choose another data folder."
        )
