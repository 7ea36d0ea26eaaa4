# SPDX-License-Identifier: GPL-3.0-or-later
"""Which models there are: those that ship in backend/models, the user's in `models_folder()`. No torch."""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from backend.cache_folder import cache_folder
from backend.diffusion.catalogue import KNOWN, KnownModel
from backend.diffusion.config import CONFIG_FILE, ModelConfig, read_config
from backend.diffusion.inspection import remedied, require_whole
from backend.diffusion.places import part_folder, weights_file
from backend.diffusion.tokenizer import WordTokenizer
from backend.errors import UserError

if TYPE_CHECKING:
    from backend.settings import GenerateSettings, Numbers

SHIPPED = Path(__file__).resolve().parent.parent / "models"
USER_MODELS_VARIABLE = "MVDREAM_MODELS"
# What is being written or downloaded starts with a dot or ends like this, and is no model yet.
UNFINISHED = (".part", ".partial", ".tmp")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_DEVICE = re.compile(r"con|prn|aux|nul|(com|lpt)[0-9]", re.IGNORECASE)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelEntry:
    """A model that can be loaded by name."""

    name: str
    folder: Path
    config: ModelConfig

    def tokenizer(self) -> WordTokenizer | None:
        """The word-level tokenizer, or None for a model that understands free text."""
        folder = self.folder / "tokenizer"
        return WordTokenizer.load(folder) if WordTokenizer.is_in(folder) else None

    @property
    def reads_prompts(self) -> bool:
        """Whether it has a text encoder; a checkpoint without one makes a model that can't be asked."""
        return (self.folder / "text_encoder").exists() or (self.folder / "tokenizer").exists()

    def require_text_encoder(self) -> None:
        """Raises UserError where there is none."""
        if not self.reads_prompts:
            raise UserError(f"The model in {self.folder} has no text encoder, so it can't read prompts.")

    def recipe(self, settings: GenerateSettings, device_type: str) -> Numbers:
        """What a job's settings come to with this model, on a device of type "cpu", "cuda" or "mps".

        A small image encoder that only the preset asks for is left out where the model has none, and on all
        devices but processors, as it was measured on no other. Raises UserError where it is asked for by hand
        and missing, and for numbers that are impossible together.
        """
        numbers = settings.resolve(self.config.image_size)
        folder = part_folder(self.folder, "tiny_vae")
        has_one = (folder / "config.json").is_file() and weights_file(self.folder, "tiny_vae").is_file()
        if not settings.is_own("tiny_encoder_until") and not (has_one and device_type == "cpu"):
            return replace(numbers, tiny_encoder_until=0.0)
        if numbers.tiny_encoder_until and not has_one:
            raise UserError(
                f"tiny_encoder_until is {numbers.tiny_encoder_until:g}, but the model {self.name} has no"
                f" small image encoder ({folder} is missing). Set it to 0, or put one there:"
                " docs/models.md says which."
            )
        return numbers

    @property
    def words(self) -> list[str] | None:
        """The words its prompts may use, sorted; None when any text will do."""
        tokenizer = self.tokenizer()
        return None if tokenizer is None else tokenizer.known_words


def models_folder() -> Path:
    """Where converted models live: $MVDREAM_MODELS, else in the user's cache. It may not exist yet.

    Raises UserError for a home folder in the variable that is nobody's.
    """
    chosen = os.environ.get(USER_MODELS_VARIABLE)
    if chosen:
        try:
            return Path(chosen).expanduser()
        except RuntimeError:
            raise UserError(
                f"{USER_MODELS_VARIABLE} is {chosen!r}, and there is no such user."
                " Set it to a folder's full path."
            ) from None
    return cache_folder() / "models"


def is_name(name: str) -> bool:
    """Whether `name` may be a model's name: never a path, a hidden folder or one that is being written.

    Nor what stands for the choice of a model, nor what Windows takes for a device.
    """
    plain = _NAME.fullmatch(name) is not None and not name.endswith(UNFINISHED)
    return plain and name.lower() != "auto" and _DEVICE.fullmatch(name.split(".")[0]) is None


def folders() -> dict[str, Path]:
    """Names (of folders) to folders, sorted; a shipped model wins over a user's of the same name."""
    found: dict[str, Path] = {}
    for home in (SHIPPED, models_folder()):
        for config in sorted(home.glob(f"*/{CONFIG_FILE}")):
            if is_name(config.parent.name):
                found.setdefault(config.parent.name, config.parent)
    return dict(sorted(found.items()))


def models() -> list[ModelEntry]:
    """Every model that is whole; a damaged one is logged and left out."""
    whole, damaged = sorted_out()
    for what in damaged.values():
        log.warning("%s", what)
    return whole


def sorted_out() -> tuple[list[ModelEntry], dict[str, str]]:
    """The models that are whole, and what is wrong with the others, by their names."""
    whole, damaged = [], {}
    for name, folder in folders().items():
        try:
            whole.append(entry(name, folder))
        except UserError as error:
            damaged[name] = str(error)
    return whole, damaged


def entry(name: str, folder: Path) -> ModelEntry:
    """The model in a folder. Raises UserError for a configuration, weights or words that are damaged."""
    found = ModelEntry(name, folder, read_config(folder))
    require_whole(folder)
    with remedied():
        found.tokenizer()
    return found


def not_installed() -> list[KnownModel]:
    """The models that could be downloaded and are not there."""
    there = folders()
    return [model for name, model in KNOWN.items() if model.source is not None and name not in there]


def find(name: str) -> ModelEntry:
    """The model called `name`: never a path, so it is safe for names from the network.

    Raises UserError for an unknown name, listing the known ones; for a model that is known but not
    downloaded, saying how to get it; and for a broken configuration.
    """
    known = folders()
    if name not in known:
        _refuse_missing(name)
        raise UserError(f"There is no model {name!r}. Known models: {_names()}.")
    return entry(name, known[name])


def resolve(path_or_name: str | Path) -> Path:
    """The folder of a model given by name or by folder.

    Raises UserError when it is neither, when it is known but not downloaded, and when it is a file.
    """
    known = folders()
    if str(path_or_name) in known:
        return known[str(path_or_name)]
    folder = Path(path_or_name).expanduser()
    if folder.is_dir():
        return folder
    _refuse_missing(str(path_or_name))
    if folder.is_file():
        raise UserError(
            f"{folder} is a file, and a model is a folder. Make one of a checkpoint with"
            f" `python -m backend models convert {folder} NAME`, then use NAME."
        )
    raise UserError(
        f"There is no model {str(path_or_name)!r}: it is neither a folder nor a known model ({_names()})."
    )


def _refuse_missing(name: str) -> None:
    """Raises UserError for a known model that is not there, with the way to it."""
    model = KNOWN.get(name)
    if model is not None and model.source is not None:
        raise UserError(
            f"The model {name!r} is not downloaded yet (about {model.about_bytes / 1e9:.1f} GB). Get it with"
            f" `python -m backend models download {name}`, or press Download beside it in the add-on's"
            " preferences."
        )


def _names() -> str:
    downloadable = [f"{model.name} (not downloaded)" for model in not_installed()]
    return ", ".join([*folders(), *downloadable]) or "none"
