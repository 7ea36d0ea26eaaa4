# SPDX-License-Identifier: GPL-3.0-or-later
"""What the add-on is doing now, one thing at a time, and what there is to show. Never imports bpy."""

import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from .backend_process import BackendProcess
from .configuration import Configuration, version
from .connection import Connection
from .environment import InstallProgress
from .errors import Cancelled, MVDreamError
from .following import Follower
from .generation import Deliver, Generation
from .job import Job, Phase
from .library import LIST, Library
from .pending import PendingJob, PendingJobs, Place
from .tasks import Steps, Task
from .viewing import Viewing, Views

log = logging.getLogger(__name__)

Doing = Literal["", "generate", "views", "install", "connect", "stop", "discard"]


class Session:
    """One per Blender. Work is started here and driven by `tick`; the panel reads the attributes.

    Attributes:
        job: the state of the newest generation or preview of views; None before the first.
        views: the newest finished preview of views; None before the first.
        doing: what is under way; "" for nothing.
        installing: progress of an installation under way; None otherwise.
        error: what went wrong last; None once something new was started.
        advice: why to install the backend again; "" for no reason to.
        library: the models, and their downloads, which go on beside the rest.
        revision: grows when there is something new to show.
    """

    def __init__(self, configuration: Configuration, deliver: Deliver) -> None:
        self.configuration = configuration
        self.deliver = deliver
        self.job: Job | None = None
        self.views: Views | None = None
        self.installing: InstallProgress | None = None
        self.error: MVDreamError | None = None
        self.revision = 0
        self.object_name = ""
        self.backend = BackendProcess(configuration.source, configuration.data, version())
        self.doing: Doing = ""
        self._follower: Follower | None = None
        self._task: Task[Any] | None = None
        self.library = Library(lambda: self.connection, self._surroundings, self.changed)
        self.refresh()

    @property
    def busy(self) -> bool:
        """True while a job or an installation is under way."""
        return self._task is not None

    @property
    def preview(self) -> Path | None:
        """The newest picture of the job."""
        return None if self._follower is None else self._follower.preview

    @property
    def making(self) -> bool:
        """True while a job of the backend is under way."""
        return self.doing in ("generate", "views")

    def refresh(self) -> None:
        """Look at the disk again: what is installed, and which jobs were left behind."""
        if not self.busy:
            self.configuration.environment.recover()
        self.installed = self.configuration.installed
        self.advice = self.configuration.advice
        self.unfinished = [] if self.busy else self._pending.orphans()
        self.backend.look()
        try:
            self.library.look()
        except MVDreamError as error:
            self.library.errors[LIST] = error
        self.changed()

    def generate(self, settings: dict[str, Any], place: Place) -> None:
        """Start a job.

        Raises:
            MVDreamError: something is under way already.
        """
        self._begin(Job(str(settings.get("prompt", "")), dict(settings)), place)

    def preview_views(self, settings: dict[str, Any]) -> None:
        """Start a preview of views, which ends up in `views`.

        Raises:
            MVDreamError: something is under way already.
        """
        self.refuse_second()
        viewing = Viewing(job=Job(str(settings.get("prompt", "")), dict(settings)), **self._surroundings())
        self._follow("views", viewing, self._views_steps(viewing))

    def pick_up(self, pending: PendingJob, restart: bool = False) -> None:
        """Go on with a job that was left behind, starting the backend where it is gone or has to be new.

        Raises:
            MVDreamError: something is under way already, or another backend than the one in use has the job.
        """
        if pending.backend != self.configuration.remote_url:
            has_it = f"at {pending.backend}" if pending.backend else "on this machine (no remote backend)"
            raise MVDreamError(
                f'The backend that has "{pending.prompt}" is {has_it}: '
                "set that in the add-on's preferences, then resume.",
                fix="preferences",
            )
        job = Job(pending.prompt, {"prompt": pending.prompt}, id=pending.id)
        place = pending.place
        if pending.owner != os.getpid():
            place = replace(place, scene_uid=0)  # it was another Blender's
        self._begin(job, place, True, restart)

    def forget(self, pending: PendingJob) -> None:
        """Leave a job behind for good. The backend deletes it now if it runs, else before all other work.

        Raises:
            MVDreamError: something is under way already, or the wish can't be noted.
        """
        self.refuse_second()
        try:
            self._pending.discard(pending)
        except OSError as error:
            raise MVDreamError(
                f"{self._pending.folder} can't be written: {error.strerror or error}."
            ) from None
        self.start("discard", self.connection.discard())

    def cancel(self) -> None:
        """Stop what is under way: at once before the backend knows of the job, else by asking the backend."""
        if self._task is None:
            return
        if self.making and self._follower is not None:
            if self._follower.submitted:
                self._follower.job.cancel_asked = True
                self.changed()
                return
            self._follower.job.phase = Phase.CANCELLED
        self._task.close()
        self._end()

    def tick(self) -> bool:
        """Go on without blocking; True while there is more to do. What goes wrong ends up in `error`."""
        if self._task is None:
            return False
        try:
            if not self._task.tick():
                return True
        except Cancelled:
            self._end()
        except MVDreamError as error:
            self._fail(error)
        except Exception as error:
            log.exception("MVDream stumbled over its own mistake")
            self._fail(MVDreamError(f"A mistake in MVDream itself: {type(error).__name__}: {error}"))
        else:
            if isinstance(result := self._task.result(), str):
                self.object_name = result
            self._end()
        return False

    def close(self) -> None:
        """Drop everything, for the add-on is going. A backend that is at work, for anyone, stays."""
        working = self.doing == "generate" and self._follower is not None and self._follower.submitted
        if self._task is not None:
            self._task.close()
        self._task = None
        self.doing = ""
        self.library.close()
        self._pending.close()
        if working or self._pending.of_others():
            self.backend.detach()
        else:
            self.backend.stop()

    def refuse_second(self) -> None:
        """
        Raises:
            MVDreamError: something is under way already.
        """
        if self.doing == "install":
            raise MVDreamError("The backend is being installed. Try again when that is done.")
        if self.doing in ("connect", "stop", "discard"):
            raise MVDreamError("The backend is being started or stopped. Try again in a moment.")
        if self.making and self.job is not None:
            raise MVDreamError(
                f'MVDream is still making "{self.job.prompt}". Wait for it, or cancel it first.'
            )

    def start(self, doing: Doing, steps: Steps[Any]) -> None:
        """Have `tick` drive the steps from now on; nothing may be under way."""
        self.error = None
        self.doing = doing
        self._task = Task(steps)
        self.changed()

    def changed(self) -> None:
        """There is something new to show."""
        self.revision += 1

    @property
    def connection(self) -> Connection:
        """The way to the backend as the preferences name it now."""
        return Connection(self.configuration, self.backend, self._pending, self.library.update)

    # Inside

    @property
    def _pending(self) -> PendingJobs:
        return PendingJobs(self.configuration.user_folder / "pending")

    def _surroundings(self) -> dict[str, Any]:
        """What every follower of a job needs."""
        remote = self.configuration.remote_url
        return {
            "folder": self.configuration.user_folder,
            "pending": self._pending,
            "changed": self.changed,
            "backend": None if remote else self.backend,
            "remote": remote,
        }

    def _begin(self, job: Job, place: Place, pick_up: bool = False, restart: bool = False) -> None:
        self.refuse_second()
        generation = Generation(job=job, place=place, deliver=self.deliver, **self._surroundings())
        self.object_name = ""
        self._follow("generate", generation, self._generation_steps(generation, pick_up, restart))

    def _follow(self, doing: Doing, follower: Follower, steps: Steps[Any]) -> None:
        self.unfinished = []
        self._follower = follower
        self.job = follower.job
        self.start(doing, steps)

    def _generation_steps(self, generation: Generation, pick_up: bool, restart: bool) -> Steps[str]:
        client = yield from self.connection.open(restart)
        return (yield from (generation.pick_up(client) if pick_up else generation.submit(client)))

    def _views_steps(self, viewing: Viewing) -> Steps[None]:
        client = yield from self.connection.open()
        self.views = yield from viewing.submit(client)

    def _end(self) -> None:
        self._task = None
        self.doing = ""
        self.installing = None
        self.refresh()

    def _fail(self, error: MVDreamError) -> None:
        if self.making and self.job is not None and not self.job.phase.ended:
            self.job.phase = Phase.FAILED
        self.error = error
        self._end()
