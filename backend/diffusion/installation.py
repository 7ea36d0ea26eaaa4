# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts models into the models folder and takes them out: download, convert, remove."""

from __future__ import annotations

import contextlib
import functools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from backend.diffusion.catalogue import KNOWN, KnownModel, Network
from backend.diffusion.config import CONFIG_FILE
from backend.diffusion.folder_swap import clear, leftovers, remove_folder
from backend.diffusion.inspection import files_bytes, folder_bytes
from backend.diffusion.registry import SHIPPED, folders, is_name, models_folder
from backend.errors import Cancelled, UserError
from backend.hub.download import download
from backend.hub.local import Downloaded
from backend.hub.patience import Patience
from backend.hub.progress import Report, format_bytes
from backend.service.locks import FileLock

if TYPE_CHECKING:
    from backend.diffusion.plan import Plan

ORIGIN = "origin.json"
DOWNLOADS = ".downloads"


def _silent(message: str, done: int, total: int) -> None:
    """Reports nothing."""


def _never() -> bool:
    return False


def install(
    name: str,
    report: Report = _silent,
    cancelled: Callable[[], bool] = _never,
    *,
    half: bool = False,
    keep: bool = False,
    config: Path | None = None,
    patience: Patience | None = None,
) -> Path:
    """Downloads and converts a known model; returns its folder. Does nothing when it is there.

    report(message, done, total): bytes, first of the file that comes and is checked, then of the new ones.
    half: store 16-bit weights. keep: leave the downloaded checkpoint in `download_folder(name)`. config: the
    checkpoint's YAML, where it is not the published one.
    Raises UserError for an unknown name and whatever network, hub, disk or file are to blame for; Cancelled
    when `cancelled()` says so. What was downloaded stays in both cases and is used by the next call.
    """
    model = downloadable(name)
    with _locked(name):
        if name in folders():
            return folders()[name]
        assert model.source is not None
        place = download_folder(name)
        # Converted it takes as much room as the checkpoint: the weights are all there is in both.
        done = download(model.source, place, report, cancelled, patience, room_after=0.5 if half else 1.0)
        out = models_folder() / name
        try:
            _convert(done.path, out, name, config, half, report, cancelled)
        except UserError as error:
            raise UserError(
                f"{error} The download is kept for another try; removing the model throws it away."
            ) from error
        _write_origin(out, done, model)
        if not keep:
            shutil.rmtree(place, ignore_errors=True)
        return out


def install_checkpoint(
    checkpoint: Path,
    name: str,
    report: Report = _silent,
    cancelled: Callable[[], bool] = _never,
    *,
    half: bool = False,
    config: Path | None = None,
) -> Path:
    """Converts a checkpoint on this computer into the models folder as `name`; returns the new folder.

    Raises UserError for a name that can't be one or is taken, and for a file that is no such checkpoint.
    """
    _require_name(name)
    if not checkpoint.exists():
        raise UserError(f"There is no checkpoint {checkpoint}.")
    out = models_folder() / name
    with _locked(name):
        if name in folders():
            raise UserError(
                f"There is a model {name!r} already, in {folders()[name]}. Choose another name, or remove it"
                " first."
            )
        accept = functools.partial(_require_network, checkpoint, name)
        _convert(checkpoint, out, name, config, half, report, cancelled, accept)
    return out


def remove(name: str) -> Path:
    """Removes a model, and what is left of its download and of conversions; returns the folder it had.

    Raises UserError for what does not lie in the models folder, ships with the program or is no model.
    """
    _require_name(name)
    folder, downloaded = models_folder() / name, download_folder(name)
    there = folder.exists() or folder.is_symlink() or downloaded.exists()
    if not there and name not in leftovers(models_folder()):
        if (SHIPPED / name).exists():
            raise UserError(f"The model {name!r} ships with the program and can't be removed.")
        known = name in KNOWN
        raise UserError(
            f"There is no model {name!r} in {models_folder()}" + (", nor a part of it." if known else ".")
        )
    with _locked(name):
        if folder.exists() or folder.is_symlink():
            if folder.is_symlink() or not (folder / CONFIG_FILE).is_file():
                raise UserError(
                    f"{folder} is not a model folder ({CONFIG_FILE} is missing, or it is a link), so it is"
                    " left alone."
                )
            try:
                remove_folder(folder)
            except OSError as error:
                raise UserError(
                    f"The model in {folder} can't be removed ({error.strerror or error}). Is it in use?"
                ) from error
        shutil.rmtree(downloaded, ignore_errors=True)
    return folder


def download_folder(name: str) -> Path:
    """Where the checkpoint of `name` is while it is downloaded and until it is converted."""
    return models_folder() / DOWNLOADS / name


def downloaded_bytes(name: str) -> int:
    """How much of an unfinished or kept download is there, in bytes."""
    return files_bytes(path for path in download_folder(name).glob("*") if path.suffix != ".json")


def leftover_bytes() -> dict[str, int]:
    """What killed processes left in the models folder, in bytes by the name of the model it was for."""
    home = models_folder()
    return {
        name: sum(folder_bytes(folder) for folder in beside)
        for name, beside in leftovers(home).items()
        if not _is_locked(name)
    }


def read_origin(folder: Path) -> dict[str, str]:
    """Where an installed model came from: source, commit, checksum, licence; empty when nobody noted it."""
    try:
        values = json.loads((folder / ORIGIN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in values.items()} if isinstance(values, dict) else {}


def downloadable(name: str) -> KnownModel:
    """The known model of that name. Raises UserError for a name that is none, and for the one that ships."""
    choices = ", ".join(model.name for model in KNOWN.values() if model.source is not None)
    model = KNOWN.get(name)
    if model is None:
        raise UserError(f"There is no model {name!r} to download. There are: {choices}.")
    if model.source is None:
        raise UserError(f"The model {name!r} ships with the program. To download there are: {choices}.")
    return model


def _require_name(name: str) -> None:
    if not is_name(name):
        raise UserError(
            f"{name!r} can't be the name of a model: letters, digits, '.', '_' and '-' only, a letter or"
            " digit first, no ending like .part, and neither 'auto' nor a name that Windows keeps for itself."
        )


def _require_network(checkpoint: Path, name: str, plan: Plan) -> None:
    """A known model's name is for that model alone, or its download would count as done."""
    wanted = KNOWN[name].network if name in KNOWN else None
    config = plan.parts["unet"].config
    found = Network(config["block_out_channels"][0], config["cross_attention_dim"])
    if wanted is None or found == wanted:
        return
    fitting = [known.name for known in KNOWN.values() if known.network == found]
    raise UserError(
        f"{checkpoint} can't be {name}: its UNet has {found}, where that of {name} has {wanted}. Call it"
        f" {fitting[0] if fitting else 'something else'}."
    )


@contextlib.contextmanager
def _locked(name: str) -> Iterator[None]:
    """Holds the model for this process. Raises UserError when another has it or nothing can be written."""
    home = models_folder() / DOWNLOADS
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = FileLock(home / f"{name}.lock")
        free = lock.acquire(wait=0.2)
    except OSError as error:
        raise UserError(
            f"The models folder {models_folder()} can't be written to ({error.strerror or error})."
            " Change its permissions, or have the models in another folder (variable MVDREAM_MODELS)."
        ) from error
    if not free:
        raise UserError(
            f"Another process is downloading, converting or removing the model {name!r} right now."
            " Wait until it is done, or stop it."
        )
    try:
        _tidy(models_folder() / name)
        yield
    finally:
        lock.release()


def _tidy(out: Path) -> None:
    """Who holds the lock is alone with the model: whatever lies beside it, a killed process left."""
    try:
        clear(out)
    except OSError as error:
        raise UserError(
            f"A conversion that was killed left an earlier model beside {out}, and it can't be put back"
            f" ({error.strerror or error}). Is it in use?"
        ) from error


def _is_locked(name: str) -> bool:
    path = models_folder() / DOWNLOADS / f"{name}.lock"
    try:
        lock = FileLock(path)
        free = not path.exists() or lock.acquire()
    except OSError:
        return False
    lock.release()
    return not free


def _convert(
    checkpoint: Path,
    out: Path,
    name: str,
    config: Path | None,
    half: bool,
    report: Report,
    cancelled: Callable[[], bool],
    accept: Callable[[Plan], None] | None = None,
) -> None:
    # The service imports this module, and never torch.
    import torch

    from backend.diffusion.convert import convert_file

    def tell(part: str, done: int, total: int) -> None:
        if cancelled():
            raise Cancelled
        report(f"Converting ({part}): {format_bytes(done)} of {format_bytes(total)}", done, total)

    report(f"Converting {checkpoint.name}", 0, 0)
    dtype = torch.float16 if half else None
    convert_file(checkpoint, out, config=config, name=name, dtype=dtype, report=tell, accept=accept)


def _write_origin(folder: Path, done: Downloaded, model: KnownModel) -> None:
    """For `models info`, and because the licence wants to go along."""
    values = {**done.origin(), "licence": model.licence, "licence_url": model.licence_url}
    with contextlib.suppress(OSError):  # the model works without it
        (folder / ORIGIN).write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
