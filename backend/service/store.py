# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs in SQLite: they outlive the service, whether it is stopped or killed.

One connection, used by the thread that opened it and no other (sqlite3 enforces it): the event loop's. A
statement takes some 50 microseconds, so it may run there; every statement is its own transaction.
"""

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from backend.errors import UserError
from backend.service.jobs import Job, Status
from backend.service.kinds import DOWNLOAD

SCHEMA_VERSION = 2
_SCHEMA = """
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,  -- order of creation; clocks may step back
    place INTEGER NOT NULL,                    -- order in the queue; a resumed job goes to its end
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    stage TEXT NOT NULL DEFAULT '',
    step INTEGER NOT NULL DEFAULT 0,
    steps INTEGER NOT NULL DEFAULT 0,
    progress REAL NOT NULL DEFAULT 0,
    seconds_left REAL,
    message TEXT NOT NULL DEFAULT '',
    error TEXT,
    resumable INTEGER NOT NULL DEFAULT 1,
    settings TEXT NOT NULL,
    files TEXT NOT NULL DEFAULT '[]',
    preview TEXT,
    preview_count INTEGER NOT NULL DEFAULT 0,
    created TEXT NOT NULL,
    started TEXT,
    ended TEXT
)
"""
_FROM_1 = "ALTER TABLE jobs ADD COLUMN resumable INTEGER NOT NULL DEFAULT 1"
_JSON_COLUMNS = ("settings", "files")
_COLUMNS = tuple(Job.model_fields)


class JobStore:
    """The table of jobs in `path`, made where there is none.

    Raises:
        UserError: the file cannot be opened, is not a job store, or was written by a newer version.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._db = sqlite3.connect(path, isolation_level=None)
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA journal_mode=WAL")
            # With WAL nothing is lost when the process dies, and in a power cut the last moments at most.
            self._db.execute("PRAGMA synchronous=NORMAL")
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                self._db.executescript(f"BEGIN;{_SCHEMA};PRAGMA user_version={SCHEMA_VERSION};COMMIT")
            elif version == 1:
                self._db.executescript(f"BEGIN;{_FROM_1};PRAGMA user_version=2;COMMIT")
        except sqlite3.Error as error:
            raise UserError(
                f"The job store {path} cannot be used ({error}). Move it away, and a new one is made; "
                "or choose another data folder."
            ) from error
        if version > SCHEMA_VERSION:
            self.close()
            raise UserError(
                f"The job store {path} was written by a newer version of this program. "
                "Update the program, or choose another data folder."
            )

    def close(self) -> None:
        """Closes the connection; the write-ahead log is folded into the file."""
        self._db.close()

    def add(self, job_id: str, kind: str, settings: dict[str, Any]) -> Job:
        """A new job at the end of the queue."""
        self._db.execute(
            "INSERT INTO jobs (place, id, kind, status, settings, created)"
            " VALUES ((SELECT COALESCE(MAX(place), 0) + 1 FROM jobs), ?, ?, ?, ?, ?)",
            (job_id, kind, Status.QUEUED, json.dumps(settings), now()),
        )
        return self._existing(job_id)

    def get(self, job_id: str) -> Job | None:
        """The job with this id, or None."""
        row = self._db.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
        return None if row is None else _job(row)

    def ended(self) -> list[Job]:
        """Jobs that are over, the one that ended last first."""
        rows = self._db.execute(
            "SELECT * FROM jobs WHERE status IN (?, ?, ?)"
            " ORDER BY COALESCE(ended, created) DESC, number DESC",
            (Status.DONE, Status.FAILED, Status.CANCELLED),
        )
        return [_job(row) for row in rows]

    def unfinished(self) -> list[Job]:
        """Jobs that run or wait, the oldest first."""
        rows = self._db.execute(
            "SELECT * FROM jobs WHERE status IN (?, ?) ORDER BY place", (Status.QUEUED, Status.RUNNING)
        )
        return [_job(row) for row in rows]

    def ids(self) -> set[str]:
        """The ids of all jobs."""
        return {row["id"] for row in self._db.execute("SELECT id FROM jobs")}

    def list(self, limit: int = 100) -> list[Job]:
        """Jobs, newest first."""
        rows = self._db.execute("SELECT * FROM jobs ORDER BY number DESC LIMIT ?", (limit,))
        return [_job(row) for row in rows]

    def next_queued(self, downloads: bool = False) -> Job | None:
        """The job whose turn it is, or None; of the downloads, or of all the others."""
        row = self._db.execute(
            f"SELECT * FROM jobs WHERE status = ? AND kind {'=' if downloads else '!='} ?"
            " ORDER BY place LIMIT 1",
            (Status.QUEUED, DOWNLOAD),
        ).fetchone()
        return None if row is None else _job(row)

    def has_work(self) -> bool:
        """Whether a job runs or waits."""
        return self.count(Status.QUEUED, Status.RUNNING) > 0

    def cancel_queued(self, job_id: str) -> Job:
        """Takes a waiting job out of the queue."""
        return self.update(job_id, status=Status.CANCELLED, message="Cancelled", ended=now())

    def count(self, *status: Status) -> int:
        """Number of jobs in any of these states."""
        marks = ", ".join("?" * len(status))
        query = f"SELECT COUNT(*) FROM jobs WHERE status IN ({marks})"
        return int(self._db.execute(query, status).fetchone()[0])

    def update(self, job_id: str, **values: Any) -> Job:
        """Changes some of a job's values; names are those of `Job`."""
        unknown = set(values) - set(_COLUMNS)
        if unknown:
            raise KeyError(f"a job has no {sorted(unknown)}")
        for name in _JSON_COLUMNS:
            if name in values:
                values[name] = json.dumps(values[name])
        assignments = ", ".join(f"{name} = ?" for name in values)
        self._db.execute(f"UPDATE jobs SET {assignments} WHERE id = ?", (*values.values(), job_id))
        return self._existing(job_id)

    def enqueue_again(self, job_id: str) -> Job:
        """Back to the end of the queue; what the job reached stays to be seen until it runs again."""
        self._db.execute(
            "UPDATE jobs SET place = (SELECT MAX(place) + 1 FROM jobs), status = ?, error = NULL,"
            " resumable = 1, message = '', seconds_left = NULL, ended = NULL WHERE id = ?",
            (Status.QUEUED, job_id),
        )
        return self._existing(job_id)

    def recover(self) -> int:
        """Jobs that ran when the service went away are queued again, in their old place. Returns how many."""
        done = self._db.execute(
            "UPDATE jobs SET status = ?, seconds_left = NULL, message = ? WHERE status = ?",
            (Status.QUEUED, "Continues after a restart of the backend", Status.RUNNING),
        )
        return done.rowcount

    def delete(self, job_id: str) -> None:
        """Forgets the job."""
        self._db.execute("DELETE FROM jobs WHERE id = ?", (job_id,))

    def _existing(self, job_id: str) -> Job:
        job = self.get(job_id)
        if job is None:
            raise KeyError(job_id)
        return job


def now() -> str:
    """The time, ISO 8601, UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _job(row: sqlite3.Row) -> Job:
    values = {name: row[name] for name in _COLUMNS}
    for name in _JSON_COLUMNS:
        values[name] = json.loads(values[name])
    return Job.model_validate(values)
