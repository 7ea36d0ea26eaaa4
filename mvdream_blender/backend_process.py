# SPDX-License-Identifier: GPL-3.0-or-later
"""The backend as a child process: attach to a running one, start one, notice its death. Never imports bpy.

The backend outlives Blender while it works: it announces itself in `service.json`, and the next Blender
attaches to it. With nothing to do it ends by itself.
"""

import json
import logging
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from .client import Client
from .errors import BackendDied, MVDreamError, Refused, Unreachable
from .processes import ChildProcess, child_environment, is_alive, log_tail, terminate
from .tasks import Delay, Steps, run

log = logging.getLogger(__name__)

IDLE_SECONDS = 600
START_SECONDS = 90.0
END_SECONDS = 10.0
LARGEST_LOG = 1 << 20


@dataclass(frozen=True)
class Announcement:
    """What a running backend says about itself in service.json."""

    url: str
    pid: int
    token: str
    version: str

    @classmethod
    def read(cls, folder: Path) -> "Announcement | None":
        """The announcement in `folder`; None where there is none that makes sense."""
        try:
            values = json.loads((folder / "service.json").read_text(encoding="utf-8"))
            return cls(str(values["url"]), int(values["pid"]), str(values["token"]), str(values["version"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None


class BackendProcess:
    """The backend that works in one data folder, ours or one that an earlier Blender started."""

    def __init__(self, source: Path, data: Path, version: str) -> None:
        """
        Args:
            source: the folder that holds the package `backend`.
            data: where the backend keeps jobs, its log and service.json; made when needed.
            version: the add-on's own; a backend of another one is not used.
        """
        self.source = source
        self.data = data
        self.version = version
        self.log_file = data / "backend.log"
        self._child: ChildProcess | None = None
        self._attached: Announcement | None = None

    @property
    def running(self) -> bool:
        """True while the process that was attached to or started last lives."""
        if self._child is not None and self._child.code is None:
            return True
        return self._attached is not None and is_alive(self._attached.pid)

    @property
    def died(self) -> bool:
        """True where there was a backend, nobody stopped it, and it is gone without having tidied up."""
        if self._attached is None or self.running:
            return False
        return Announcement.read(self.data) == self._attached

    def death(self, doing: str) -> BackendDied:
        """The error that tells of the death, with the end of the log."""
        tail = log_tail(self.log_file)
        lines = f"\nThe end of its log:\n{tail}" if tail else ""
        return BackendDied(
            f"The backend ended {doing}. Restart it: a job goes on where it was.{lines}", fix="restart"
        )

    def connect(self, python: Path) -> Steps[Client]:
        """Attach to the running backend, else start one with `python`; returns its client.

        Raises:
            MVDreamError: it can't be started, did not come up, or an older one is still busy.
        """
        found = yield from self._attach()
        if found is not None:
            return found
        return (yield from self._start(python))

    def stop(self) -> None:
        """End the backend, ours or attached, waiting for it: only where Blender itself goes. See `end`."""
        run(self.end(), pause=0.02)

    def end(self) -> Steps[None]:
        """End the backend, ours or attached. Its job goes on from its checkpoint at the next start."""
        attached, child = self._attached, self._child
        self._attached = self._child = None
        try:
            if attached is not None:
                yield from _end(attached.pid)
        finally:
            if child is not None:
                child.close()

    def detach(self) -> None:
        """Let it run on without us."""
        self._attached = self._child = None

    def _attach(self) -> Steps[Client | None]:
        announced = Announcement.read(self.data)
        if announced is None:
            return None
        try:
            client = Client(announced.url, announced.token)
            health = yield from client.health()
        except (Unreachable, Refused, MVDreamError) as error:
            log.info("No backend to attach to: %s", error)
            return None
        if health.get("version") == self.version:
            self._attached = announced
            return client
        if health.get("jobs_running"):
            raise MVDreamError(
                f"A backend of version {health.get('version')} is still working on a job; this add-on is "
                f"version {self.version}. Wait until the job is done, then try again."
            )
        log.info("Replacing the backend of version %s", health.get("version"))
        yield from _end(announced.pid)
        return None

    def _attach_to_the_quicker(self) -> Steps[Client | None]:
        """One backend works in a folder; where another Blender's was quicker, it will be announced soon."""
        deadline = time.monotonic() + END_SECONDS
        while True:
            found = yield from self._attach()
            occupied = "Another service works on" in log_tail(self.log_file, 3)
            if found is not None or not occupied or time.monotonic() > deadline:
                return found
            yield Delay(0.25)

    def _start(self, python: Path) -> Steps[Client]:
        token = secrets.token_urlsafe(32)
        self._attached = None
        self._child = self._spawn(python, token)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            # The token tells ours from a stale file; the pid does not: on Windows venvs have a launcher.
            announced = Announcement.read(self.data)
            if announced is not None and announced.token == token:
                client = Client(announced.url, token)
                yield from client.health()
                self._attached = announced
                return client
            if self._child.code is not None:
                other = yield from self._attach_to_the_quicker()
                if other is not None:
                    return other
                raise self._start_failure(python)
            yield Delay(0.05)
        self._child.close()
        raise MVDreamError(
            f"The backend was not ready after {START_SECONDS:g} seconds.\n{log_tail(self.log_file)}",
            fix="restart",
        )

    def _spawn(self, python: Path, token: str) -> ChildProcess:
        command = [str(python), "-m", "backend", "serve", "--data-dir", str(self.data)]
        command += ["--port", "0", "--exit-when-idle", str(IDLE_SECONDS)]
        # PYTHONPATH and not the working folder: Windows can't replace a folder that a process stands in.
        # The byte code goes to the data folder, for the add-on's own may be read-only.
        settings = {
            "MVDREAM_TOKEN": token,
            "PYTHONPATH": str(self.source),
            "PYTHONPYCACHEPREFIX": str(self.data / "bytecode"),
        }
        try:
            self.data.mkdir(parents=True, exist_ok=True)
            if self.log_file.exists() and self.log_file.stat().st_size > LARGEST_LOG:
                self.log_file.replace(self.log_file.with_suffix(".log.1"))
            return ChildProcess(command, self.log_file, child_environment(settings), self.data)
        except OSError as error:
            raise MVDreamError(
                f"The backend can't be started with {python}: {error.strerror or error}. "
                "Check the Python in the add-on's preferences, or install the backend.",
                fix="preferences",
            ) from None

    def _start_failure(self, python: Path) -> MVDreamError:
        tail = log_tail(self.log_file)
        if "Another service works on" in tail:
            return MVDreamError(f"A backend is there but does not answer: end its process by hand.\n{tail}")
        code = self._child.code if self._child is not None else None
        if "No module named" in tail or "is missing in" in tail:
            missing = f"The backend did not start: {python} lacks a package it needs."
            return MVDreamError(f"{missing} Install the backend again.\n{tail}", fix="install")
        return MVDreamError(f"The backend did not start (exit code {code}).\n{tail}", fix="restart")


def _end(pid: int) -> Steps[None]:
    """Ask a process to end and wait until it has, 10 seconds at most."""
    if is_alive(pid):
        terminate(pid)
    deadline = time.monotonic() + END_SECONDS
    while is_alive(pid) and time.monotonic() < deadline:
        yield Delay(0.05)
