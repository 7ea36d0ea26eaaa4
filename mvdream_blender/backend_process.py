# SPDX-License-Identifier: GPL-3.0-or-later
"""The backend as a child process: attach to a running one, start one, notice its death. Never imports bpy.

The backend outlives Blender while it works: it announces itself in `service.json`, and the next Blender
attaches to it. With nothing to do it ends by itself.
"""

import logging
import os
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from . import backend_ending as ending
from . import models_folder
from .announcement import Announcement
from .client import Client
from .errors import BackendDied, LacksPackages, MVDreamError, Refused, Unreachable
from .processes import ChildProcess, child_environment, log_tail
from .tasks import Delay, Steps, Until, run

log = logging.getLogger(__name__)

IDLE_SECONDS = 600
START_SECONDS = 90.0
QUICKER_SECONDS = 10.0
QUIT_SECONDS = 3.0
MOST_DISCARDED = 100  # command lines are not endless; the rest is deleted once it answers
LARGEST_LOG = 1 << 20


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
        self._left: Announcement | None = None
        self._connecting = False

    @property
    def running(self) -> bool:
        """True while the process that was attached to or started last lives."""
        if self._child is not None and self._child.code is None:
            return True
        return self._attached is not None and self._attached.is_living(self.data)

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

    @property
    def left_running(self) -> bool:
        """True where, at the last `look`, one ran that this object has neither started nor attached to."""
        return self._left is not None and self._left != self._attached

    def look(self) -> None:
        """See whether an earlier Blender left a backend behind. Reads one file."""
        announced = Announcement.read(self.data)
        self._left = announced if announced is not None and announced.is_living(self.data) else None
        if self._attached != announced and not self.running:
            self._attached = None  # it had nothing to do and has ended by itself

    def connect(self, python: Path, discarded: Sequence[str] = ()) -> Steps[Client]:
        """Attach to the running backend, else start one with `python`; returns its client.

        Args:
            discarded: jobs that a backend which is started deletes before it does anything else.

        Raises:
            MVDreamError: it can't be started, did not come up, or an older one is still busy.
        """
        # Of two pieces of work that need it at once the second gets what the first has started.
        yield Until(lambda: not self._connecting)
        self._connecting = True
        try:
            found = yield from self._attach()
            if found is not None:
                return found
            return (yield from self._start(python, discarded))
        finally:
            self._connecting = False

    def find(self) -> Steps[Client | None]:
        """The client of a backend that runs, of whatever version, whoever started it; None for none."""
        return (yield from ending.answering(Announcement.read(self.data)))

    def stop(self) -> None:
        """End the backend that was started or attached to, unless a job of anyone is under way there.

        Waits, for seconds at most: only where Blender itself goes.
        """
        if self._attached is None and self._child is None:
            return
        try:
            run(self._leave(), QUIT_SECONDS)
        except (MVDreamError, TimeoutError) as error:
            log.info("The backend is left to itself: %s", error)

    def end(self, may_interrupt: Callable[[str], bool] = lambda identifier: False) -> Steps[None]:
        """End the folder's backend, whoever started it. Its job goes on at the next start.

        Args:
            may_interrupt: whether nobody but this Blender waits for the job of that id.

        Raises:
            MVDreamError: another job is under way there; or the backend does not end.
        """
        announced = Announcement.read(self.data)
        client = yield from ending.answering(announced)
        if client is not None:
            yield from ending.refuse_to_interrupt(client, may_interrupt)
        attached, child = self._attached, self._child
        self._attached = self._child = None
        try:
            if announced is not None and client is not None:
                yield from ending.shut_down(client, self.data, announced)
            elif attached is not None and attached.is_living(self.data):
                yield from ending.terminate_and_wait(self.data, attached)
        finally:
            if child is not None:
                child.close()
            self.look()

    def detach(self) -> None:
        """Let it run on without us."""
        self._attached = self._child = None

    def _leave(self) -> Steps[None]:
        client = yield from self.find()
        if client is not None and (yield from client.health()).get("jobs_running"):
            self.detach()
        else:
            yield from self.end()

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
        yield from ending.shut_down(client, self.data, announced)
        return None

    def _attach_to_the_quicker(self) -> Steps[Client | None]:
        """One backend works in a folder; where another Blender's was quicker, it will be announced soon."""
        deadline = time.monotonic() + QUICKER_SECONDS
        while True:
            found = yield from self._attach()
            occupied = "Another service works on" in log_tail(self.log_file, 3)
            if found is not None or not occupied or time.monotonic() > deadline:
                return found
            yield Delay(0.25)

    def _start(self, python: Path, discarded: Sequence[str]) -> Steps[Client]:
        token = secrets.token_urlsafe(32)
        self._attached = None
        self._child = self._spawn(python, token, discarded)
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
        self._child = None
        raise MVDreamError(
            f"The backend was not ready after {START_SECONDS:g} seconds.\n{log_tail(self.log_file)}",
            fix="restart",
        )

    def _spawn(self, python: Path, token: str, discarded: Sequence[str]) -> ChildProcess:
        command = [str(python), "-m", "backend", "serve", "--data-dir", str(self.data)]
        command += ["--port", "0", "--exit-when-idle", str(IDLE_SECONDS)]
        for identifier in discarded[:MOST_DISCARDED]:
            command += ["--discard", identifier]
        # PYTHONPATH and not the working folder: Windows can't replace a folder that a process stands in.
        # The byte code goes to the data folder, for the add-on's own may be read-only.
        settings = {
            "MVDREAM_TOKEN": token,
            "PYTHONPATH": str(self.source),
            "PYTHONPYCACHEPREFIX": str(self.data / "bytecode"),
        }
        if os.environ.get(models_folder.VARIABLE):
            # Absolute: the backend stands in another folder than Blender.
            settings[models_folder.VARIABLE] = str(models_folder.models_folder())
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
            return LacksPackages(python, tail)
        return MVDreamError(f"The backend did not start (exit code {code}).\n{tail}", fix="restart")
