# SPDX-License-Identifier: GPL-3.0-or-later
"""Refuses, before any work, a job that cannot succeed. No torch: vocabulary and configuration are JSON."""

import os
import shutil
from pathlib import Path

from backend.default_model import certain_model
from backend.diffusion import installation, registry
from backend.diffusion.config import read_config
from backend.download_settings import DownloadSettings
from backend.errors import UserError
from backend.hub.local import is_in_hub_cache
from backend.hub.progress import format_bytes
from backend.prompts import check_words
from backend.service.device_check import refuse_missing_device
from backend.settings import GenerateSettings
from backend.settings.request import Request
from backend.views_settings import ViewsSettings

MIN_FREE_BYTES = 500 * 10**6


def admit(settings: Request | DownloadSettings, data_dir: Path) -> None:
    """Checks what can be checked at once: the model, the words of the prompts, room on the disk.

    Raises:
        UserError: what is wrong, and the way out.
    """
    if isinstance(settings, DownloadSettings):
        _admit_download(settings)
        return
    refuse_missing_device(settings.device)
    name = certain_model(settings.model)
    model = find_model(name) if name else None
    if model is not None:
        model.require_text_encoder()
        if isinstance(settings, ViewsSettings):
            settings.check_for(model.config)
        if isinstance(settings, GenerateSettings):
            model.recipe(settings, "cpu")  # where the most is asked for
        check_words(model.tokenizer(), settings.prompt, settings.negative_prompt)
    check_room(data_dir)


def _admit_download(settings: DownloadSettings) -> None:
    """By the catalogue's rounded sizes; the hub's own are checked before the first byte is asked for."""
    model = installation.downloadable(settings.name)
    if folder := registry.folders().get(model.name):
        try:
            registry.find(model.name).tokenizer()
        except UserError as error:
            raise UserError(
                f"The model {model.name!r} is there but broken: remove it first. {error}"
            ) from None
        raise UserError(f"The model {model.name!r} is installed already, in {folder}.")
    missing = max(0, model.about_bytes - installation.downloaded_bytes(model.name))
    converted = model.about_bytes // (2 if settings.half else 1)
    home = registry.models_folder()
    place = next(folder for folder in (home, *home.absolute().parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if free < missing + converted and model.source and is_in_hub_cache(model.source):
        missing = 0  # it is used where it lies
    if free < missing + converted:
        raise UserError(
            f"The disk of {home} has {format_bytes(free)} free, and {model.name} needs about"
            f" {format_bytes(missing + converted)}: {format_bytes(missing)} to download, the rest to convert."
            " Free some space, or move the models folder to another disk (variable MVDREAM_MODELS)."
        )


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
