# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs whose result is not in a scene yet, on disk, for the Blender after a crash. Never imports bpy."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from .processes import is_alive


@dataclass(frozen=True)
class Place:
    """Where the result goes: a scene by its name (never a reference) and a location in world units."""

    scene: str = ""
    location: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class PendingJob:
    """A submitted job. `owner` is the process id of the Blender that follows it."""

    id: str
    prompt: str
    place: Place
    owner: int


class PendingJobs:
    """The records in one folder, one small file a job."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, identifier: str, prompt: str, place: Place) -> None:
        """Remember (or take over) a job as this process's."""
        self.folder.mkdir(parents=True, exist_ok=True)
        record = PendingJob(identifier, prompt, place, os.getpid())
        beside = self._file(identifier).with_suffix(".new")
        beside.write_text(json.dumps(asdict(record)), encoding="utf-8")
        beside.replace(self._file(identifier))

    def remove(self, identifier: str) -> None:
        """Forget a job; one that is not there is fine."""
        self._file(identifier).unlink(missing_ok=True)

    def in_other_hands(self) -> bool:
        """True where another living Blender follows a job."""
        records = [_read(file) for file in self.folder.glob("*.json")]
        return any(record and record.owner != os.getpid() and is_alive(record.owner) for record in records)

    def orphans(self) -> list[PendingJob]:
        """Jobs that no living Blender but this one follows, newest first."""
        found = []
        for file in self.folder.glob("*.json"):
            record = _read(file)
            if record is not None and (record.owner == os.getpid() or not is_alive(record.owner)):
                found.append((file.stat().st_mtime, record))
        return [record for _, record in sorted(found, key=lambda pair: pair[0], reverse=True)]

    def _file(self, identifier: str) -> Path:
        safe = "".join(letter for letter in identifier if letter.isalnum() or letter in "-_")
        return self.folder / f"{safe}.json"


def _read(file: Path) -> PendingJob | None:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        x, y, z = values["place"]["location"]
        place = Place(str(values["place"]["scene"]), (float(x), float(y), float(z)))
        return PendingJob(str(values["id"]), str(values["prompt"]), place, int(values["owner"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
