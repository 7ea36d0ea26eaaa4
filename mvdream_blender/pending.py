# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs whose result is not in a scene yet, on disk, for the Blender after a crash. Never imports bpy."""

import json
import logging
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from .locks import FileLock, is_held
from .processes import is_alive

log = logging.getLogger(__name__)

TRIES = 20


@dataclass(frozen=True)
class Place:
    """Where the result goes.

    Attributes:
        scene: a scene's name (never a reference).
        location: world units.
        scene_uid: the scene's `session_uid`, which renaming does not change; 0 for unknown. It means nothing
            in another Blender.
    """

    scene: str = ""
    location: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scene_uid: int = 0


@dataclass(frozen=True)
class PendingJob:
    """A submitted job.

    Attributes:
        owner: the process id of the Blender that follows it.
        backend: address of the remote backend that has it; "" for the local one.
    """

    id: str
    prompt: str
    place: Place
    owner: int
    backend: str = ""


class PendingJobs:
    """The records in one folder, one small file a job; in `discarded` below it those nobody wants any more.

    A discarded job stays noted until the backend has deleted it, for it would go on at its next start.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, identifier: str, prompt: str, place: Place, backend: str = "") -> None:
        """Remember (or take over) a job as this process's.

        Raises:
            OSError: the record can't be written.
        """
        _mark_alive(self.folder)
        _write(_file(self.folder, identifier), PendingJob(identifier, prompt, place, os.getpid(), backend))

    def remove(self, identifier: str) -> None:
        """Forget a job; one that is not there is fine."""
        _remove(_file(self.folder, identifier))

    def discard(self, pending: PendingJob) -> None:
        """Nobody wants the job any more: note it for deletion and forget it.

        Raises:
            OSError: the note can't be written.
        """
        _write(_file(self._discarded, pending.id), pending)
        self.remove(pending.id)

    def discarded(self, backend: str = "") -> list[str]:
        """Ids of jobs that this backend has to delete yet."""
        return [record.id for _, record in _records(self._discarded) if record.backend == backend]

    def settle(self, identifier: str) -> None:
        """The backend has deleted a discarded job."""
        _remove(_file(self._discarded, identifier))

    def of_others(self) -> list[PendingJob]:
        """Jobs that other living Blenders follow."""
        return [record for _, record in _records(self.folder) if not _is_free(self.folder, record)]

    def orphans(self) -> list[PendingJob]:
        """Jobs that no living Blender but this one follows, newest first."""
        return [record for _, record in _records(self.folder) if _is_free(self.folder, record)]

    def close(self) -> None:
        """This Blender goes: its jobs are free for the next one."""
        mark = _mark(self.folder, os.getpid())
        if lock := _held.pop(mark, None):
            lock.release()
            _remove(mark)

    @property
    def _discarded(self) -> Path:
        return self.folder / "discarded"


# The number of a Blender that died may be another process's by now, most likely after the machine was started
# anew. So each Blender with jobs holds a lock on a file of its own for as long as it lives.
_held: dict[Path, FileLock] = {}


def _mark(folder: Path, owner: int) -> Path:
    return folder / f"owner-{owner}.lock"


def _mark_alive(folder: Path) -> None:
    mark = _mark(folder, os.getpid())
    if mark in _held:
        return
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(mark)
    for _ in range(TRIES):
        if lock.acquire():
            _held[mark] = lock
            return
        time.sleep(0.005)  # another Blender is just looking whether it is held
    log.warning("%s is held by somebody else: other Blenders may offer the jobs of this one", mark)


def _is_free(folder: Path, record: PendingJob) -> bool:
    if record.owner == os.getpid():
        return True
    mark = _mark(folder, record.owner)
    if not is_alive(record.owner):
        _remove(mark)
        return True
    try:
        # Who goes takes its mark along, so one that is missing says that the number is another process's.
        return not is_held(mark)
    except OSError:
        return False


def _file(folder: Path, identifier: str) -> Path:
    safe = "".join(letter for letter in identifier if letter.isalnum() or letter in "-_")
    return folder / f"{safe}.json"


def _write(file: Path, record: PendingJob) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_suffix(".new")
    beside.write_text(json.dumps(asdict(record)), encoding="utf-8")
    beside.replace(file)


def _remove(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        log.warning("%s can't be removed: %s", file, error)


def _records(folder: Path) -> list[tuple[float, PendingJob]]:
    """The readable records with their times, newest first. Another Blender may remove one at any time."""
    found = []
    for file in folder.glob("*.json"):
        try:
            found.append((file.stat().st_mtime, _parse(file.read_text(encoding="utf-8"))))
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.info("%s is passed over: %s", file, error)
    return sorted(found, key=lambda pair: pair[0], reverse=True)


def _parse(text: str) -> PendingJob:
    values = json.loads(text)
    where = values["place"]
    x, y, z = where["location"]
    place = Place(str(where["scene"]), (float(x), float(y), float(z)), int(where.get("scene_uid", 0)))
    backend = str(values.get("backend", ""))
    return PendingJob(str(values["id"]), str(values["prompt"]), place, int(values["owner"]), backend)
