# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of a hub that are on this computer already: from an earlier call, or in huggingface_hub's cache."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from backend.diffusion.catalogue import HubFile
from backend.hub.checksum import is_intact
from backend.hub.progress import Report
from backend.hub.remote import prepare_library

RECORD = "download.json"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Downloaded:
    """A complete file with the right checksum, and where it is from."""

    path: Path
    source: str
    commit: str
    checksum: str
    size: int

    def origin(self) -> dict[str, str | int]:
        """All of it but the path, as plain values."""
        return {name: value for name, value in asdict(self).items() if name != "path"}


def find_complete(file: HubFile, folder: Path) -> Downloaded | None:
    """An earlier complete download of `file` into `folder`, or None."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        found = Downloaded(path=folder / file.name, **record)
        complete = found.source == str(file) and found.path.stat().st_size == found.size
    except (OSError, ValueError, TypeError):
        return None
    return found if complete else None


def write_record(done: Downloaded) -> None:
    """Notes beside the file that it is complete. Raises OSError."""
    (done.path.parent / RECORD).write_text(json.dumps(done.origin(), indent=1) + "\n", encoding="utf-8")


def find_in_hub_cache(file: HubFile, report: Report, cancelled: Callable[[], bool]) -> Downloaded | None:
    """The file in huggingface_hub's cache (`hf download` and other programs put it there), or None.

    Only where its checksum can be checked: that is the name of the file that the cache's link leads to.
    """
    found = _cached(file)
    if found is None:
        return None
    path = found.resolve()
    if not is_intact(path, path.name, report, cancelled):
        log.warning("%s in the cache of huggingface_hub is damaged and not used.", file.name)
        return None
    # .../snapshots/<commit>/<file>
    commit = found.parent.name
    return Downloaded(path, str(file), commit, path.name, path.stat().st_size)


def is_in_hub_cache(file: HubFile) -> bool:
    """Whether `find_in_hub_cache` will find it if it is undamaged. Imports huggingface_hub, reads nothing."""
    prepare_library()
    return _cached(file) is not None


def _cached(file: HubFile) -> Path | None:
    """The cache's link to a file whose name is its checksum, or None."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(file.repository, file.name, revision=file.revision)
    if not isinstance(found, str):
        return None
    path = Path(found).resolve()
    return Path(found) if path.is_file() and re.fullmatch("[0-9a-f]{64}", path.name) else None
