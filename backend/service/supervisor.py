# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the queued jobs, one worker process at a time, and writes what they report into the store."""

import asyncio
import contextlib
import logging
import os
import sqlite3
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto
from pathlib import Path
from typing import Any

import backend
from backend.service import failures, files, messages, pruning
from backend.service.jobs import Job, Status
from backend.service.processes import WorkerProcess
from backend.service.spare import Spare
from backend.service.store import JobStore, now

log = logging.getLogger(__name__)

WORKER_COMMAND = (sys.executable, "-m", "backend.service.worker")
GRACE = 1.0
RETRY = 1.0
SPARE_DELAY = 1.0  # seconds without a job before a worker is started in advance: first the service answers


class _Stop(Enum):
    CANCEL = auto()  # the user's wish: the job ends as cancelled
    PAUSE = auto()  # the service goes: the job is queued again for the next one


@dataclass
class _Run:
    """The job that has the worker."""

    job_id: str
    kind: str
    process: WorkerProcess
    ended: asyncio.Event
    log_start: int  # where its words begin in the log, which a resumed job goes on with
    stop: _Stop | None = None
    outcome: messages.DoneMessage | messages.ErrorMessage | None = None


class Supervisor:
    """Takes jobs from `store` in the order of the queue: the downloads, or all the others.

    Args:
        store: the jobs; used in the event loop's thread only.
        folder: holds one folder a job, named by its id.
        worker_command: a program that takes the job's folder as its last argument.
        grace: seconds a worker gets to end by itself before it is killed.
        downloads: whether it does the downloads; they would keep everything else waiting for hours.
        spare: whether a worker is started in advance while there is no job.
    """

    def __init__(
        self,
        store: JobStore,
        folder: Path,
        worker_command: Sequence[str] = WORKER_COMMAND,
        grace: float = GRACE,
        downloads: bool = False,
        spare: bool = False,
    ) -> None:
        self._store = store
        self._folder = folder
        self._command = tuple(worker_command)
        self._grace = grace
        self._downloads = downloads
        self._wake = asyncio.Event()
        self._stopping = False
        self._run: _Run | None = None
        self._spare = Spare(self._command, _environment()) if spare else None

    def folder_of(self, job_id: str) -> Path:
        """The job's own folder."""
        return self._folder / job_id

    def wake(self) -> None:
        """Says that a job was queued."""
        self._wake.set()

    async def run(self) -> None:
        """Works until `stop` is called. No job's failure ends it."""
        await self._prune()
        while not self._stopping:
            self._wake.clear()
            try:
                job = self._store.next_queued(self._downloads)
            except sqlite3.Error:
                log.exception("The queue cannot be read; trying again in %g s", RETRY)
                await self._pause()
                continue
            if job is None:
                await self._idle()
            else:
                await self._work(job)
                await self._prune()

    def discard(self, job_ids: Iterable[str]) -> None:
        """Forgets jobs that wait or have ended, with their folders; unknown ids are fine. Before `run`."""
        found = [job.id for name in job_ids if (job := self._store.get(name))]
        for job_id in found:
            self._store.delete(job_id)
        pruning.remove_folders(self._folder, found)

    async def _prune(self) -> None:
        if self._stopping:
            return
        try:
            for job_id in pruning.superfluous(self._store.ended(), datetime.now(UTC)):
                log.info("Job %s is forgotten: it ended long ago", job_id)
                self._store.delete(job_id)
            names = pruning.strays(self._folder, self._store.ids())
        except sqlite3.Error:
            log.exception("Old jobs could not be looked for")
            return
        if names:
            await asyncio.to_thread(pruning.remove_folders, self._folder, names)

    async def _idle(self) -> None:
        """Waits until `stop` or a new job, and uses the time."""
        await self._pause(SPARE_DELAY)
        if self._spare is not None and not self._wake.is_set():
            self._spare.prepare()
        await self._wake.wait()

    async def _pause(self, seconds: float = RETRY) -> None:
        """Waits a moment, or until `stop` or a new job: the disk may be full, the file locked."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)

    async def cancel(self, job_id: str) -> None:
        """Ends the job's worker if it has one, and returns once nothing of it is left."""
        await self._end_run(_Stop.CANCEL, job_id)

    async def stop(self) -> None:
        """Ends the worker so that its job goes on at the next start, and lets `run` return."""
        self._stopping = True
        self._wake.set()
        if self._spare is not None:
            await self._spare.end(self._grace)
        await self._end_run(_Stop.PAUSE)

    async def _end_run(self, stop: _Stop, job_id: str | None = None) -> None:
        run = self._run
        if run is None or job_id not in (None, run.job_id):
            return
        if run.stop is None:
            run.stop = stop
            await run.process.stop(self._grace)
        await run.ended.wait()

    async def _work(self, job: Job) -> None:
        try:
            run = self._start(job)
        except (OSError, sqlite3.Error) as error:
            log.exception("The worker of job %s could not be started", job.id)
            reason = failures.explain_exception(error, self.folder_of(job.id), job.kind)
            await self._record(job.id, {"status": Status.FAILED, "error": reason, "ended": now()})
            return
        self._run = run
        try:
            code = await run.process.wait()
            await self._record(job.id, self._ending(run, code))
        finally:
            self._run = None
            run.ended.set()

    async def _record(self, job_id: str, values: dict[str, Any]) -> None:
        """Writes a job's end, trying again while the disk is full: it must not seem to run for ever."""
        while True:
            try:
                self._store.update(job_id, **values)
                return
            except KeyError:
                return  # it was deleted meanwhile: nobody wants to know
            except sqlite3.Error:
                log.exception("The end of job %s could not be written", job_id)
                if self._stopping:
                    return  # the next start finds it running, and goes on with it
                await asyncio.sleep(RETRY)

    def _start(self, job: Job) -> _Run:
        folder = self.folder_of(job.id)
        folder.mkdir(parents=True, exist_ok=True)
        files.write_json(folder / files.JOB_FILE, {"kind": job.kind, "settings": job.settings})
        log_file = folder / files.LOG_FILE
        log_start = log_file.stat().st_size if log_file.exists() else 0
        # Written first: if the disk is full, no worker runs that nobody watches.
        self._store.update(
            job.id, status=Status.RUNNING, started=now(), ended=None, message="Starting", error=None
        )
        process = self._spare.take(folder, lambda line: self._heard(run, line)) if self._spare else None
        if process is None:
            command = (*self._command, str(folder))
            process = WorkerProcess(command, _environment(), log_file, lambda line: self._heard(run, line))
        run = _Run(job.id, job.kind, process, asyncio.Event(), log_start)
        log.info("Job %s runs in process %d", job.id, process.pid)
        return run

    def _heard(self, run: _Run, line: bytes) -> None:
        message = None if run.ended.is_set() else messages.parse(line)
        if isinstance(message, messages.ProgressMessage):
            try:
                self._store.update(run.job_id, **self._progress(run.job_id, message))
            except sqlite3.Error as error:
                log.warning("Progress of job %s could not be written: %s", run.job_id, error)
        elif message is not None:
            run.outcome = message

    def _progress(self, job_id: str, message: messages.ProgressMessage) -> dict[str, Any]:
        values: dict[str, Any] = message.model_dump(
            include={"stage", "step", "steps", "seconds_left", "message"}
        )
        values["progress"] = min(1.0, max(0.0, message.fraction))
        if message.preview and files.locate(self.folder_of(job_id), message.preview):
            job = self._store.get(job_id)
            assert job is not None
            values["preview"] = message.preview
            values["preview_count"] = job.preview_count + 1
            values["files"] = list(dict.fromkeys([*job.files, message.preview]))
        return values

    def _ending(self, run: _Run, code: int) -> dict[str, Any]:
        """The last values of a job whose worker ended with `code`."""
        folder = self.folder_of(run.job_id)
        values: dict[str, Any] = {"seconds_left": None, "ended": now()}
        if isinstance(run.outcome, messages.DoneMessage):
            # Also when the interpreter crashed afterwards, as some drivers make it: the files are there.
            if code:
                log.warning("The worker of job %s was done, but ended with code %d", run.job_id, code)
            names = [name for name in run.outcome.files if files.locate(folder, name)]
            values |= {"status": Status.DONE, "resumable": False, "files": names}
            return values | {"progress": 1.0, "message": "Done"}
        if run.stop is _Stop.CANCEL:
            return values | {"status": Status.CANCELLED, "message": "Cancelled"}
        if run.stop is _Stop.PAUSE:
            paused = "Continues when the backend is started again"
            return values | {"status": Status.QUEUED, "ended": None, "message": paused}
        if run.outcome is not None:
            reason = run.outcome.message
            values["resumable"] = run.outcome.resumable
        else:
            reason = failures.explain_exit(code, run.kind, folder / files.LOG_FILE, run.log_start)
        log.warning("Job %s failed: %s", run.job_id, reason)
        return values | {"status": Status.FAILED, "message": "Failed", "error": reason}


def _environment() -> dict[str, str]:
    """The worker finds this very package, whatever the current folder is and holds."""
    root = str(Path(backend.__file__).resolve().parent.parent)
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1", "PYTHONUTF8": "1"}
