# SPDX-License-Identifier: GPL-3.0-or-later
"""Which models there are: those that ship in backend/models, and the user's in $MVDREAM_MODELS. No torch."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from backend.diffusion.config import CONFIG_FILE, ModelConfig, read_config
from backend.diffusion.tokenizer import WordTokenizer
from backend.errors import UserError

SHIPPED = Path(__file__).resolve().parent.parent / "models"
USER_MODELS_VARIABLE = "MVDREAM_MODELS"

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
    def words(self) -> list[str] | None:
        """The words its prompts may use, sorted; None when any text will do."""
        tokenizer = self.tokenizer()
        return None if tokenizer is None else tokenizer.known_words


def folders() -> dict[str, Path]:
    """Names (of folders) to folders, sorted; a shipped model wins over a user's of the same name."""
    homes = [SHIPPED]
    if os.environ.get(USER_MODELS_VARIABLE):
        homes.append(Path(os.environ[USER_MODELS_VARIABLE]))
    found: dict[str, Path] = {}
    for home in homes:
        for config in sorted(home.glob(f"*/{CONFIG_FILE}")):
            found.setdefault(config.parent.name, config.parent)
    return dict(sorted(found.items()))


def models() -> list[ModelEntry]:
    """Every model whose configuration can be read; a broken one is logged and left out."""
    entries = []
    for name, folder in folders().items():
        try:
            entries.append(ModelEntry(name, folder, read_config(folder)))
        except UserError as error:
            log.warning("%s", error)
    return entries


def find(name: str) -> ModelEntry:
    """The model called `name`: never a path, so it is safe for names from the network.

    Raises UserError for an unknown name, listing the known ones, and for a broken configuration.
    """
    known = folders()
    if name not in known:
        raise UserError(f"There is no model {name!r}. Known models: {', '.join(known) or 'none'}.")
    return ModelEntry(name, known[name], read_config(known[name]))


def resolve(path_or_name: str | Path) -> Path:
    """The folder of a model given by name or by folder. Raises UserError when it is neither."""
    known = folders()
    if str(path_or_name) in known:
        return known[str(path_or_name)]
    folder = Path(path_or_name).expanduser()
    if folder.is_dir():
        return folder
    raise UserError(
        f"There is no model {str(path_or_name)!r}: it is neither a folder nor a known model"
        f" ({', '.join(known) or 'none'})."
    )
