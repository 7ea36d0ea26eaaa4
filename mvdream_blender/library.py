# SPDX-License-Identifier: GPL-3.0-or-later
"""The models there are, and what is done to them: looked up, downloaded, removed. Never imports bpy.

Unlike the session's own work several of these run beside each other and beside a job: a download takes long.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .client import Client
from .connection import Connection
from .downloading import Downloading, job_of, unfinished
from .errors import Cancelled, MVDreamError, StaysOffline
from .job import Job, Phase
from .models import KNOWN, Model
from .models_folder import look, models_folder
from .pending import PendingJobs
from .tasks import Steps, Task

log = logging.getLogger(__name__)

LIST = ""  # stands for the list of models where a model's name could be


@dataclass
class _Work:
    task: Task[None]
    download: Downloading | None = None


class Library:
    """One per session; the panel and the preferences read the attributes.

    Attributes:
        models: all models: as the backend said last, else what the models folder holds.
        errors: what went wrong last, by the model's name; under LIST what is wrong with all of it.
    """

    def __init__(
        self,
        connection: Callable[[], Connection],
        surroundings: Callable[[], dict[str, Any]],
        changed: Callable[[], None],
    ) -> None:
        """
        Args:
            connection: the way to the backend as the preferences name it now.
            surroundings: what a follower of a job needs.
            changed: called when there is something new to show.
        """
        self.models: tuple[Model, ...] = KNOWN
        self.errors: dict[str, MVDreamError] = {}
        self._connection = connection
        self._surroundings = surroundings
        self._changed = changed
        self._work: dict[str, _Work] = {}
        self._told_by: str | None = None  # address of the backend whose list this is; None: of none

    @property
    def busy(self) -> bool:
        """True while anything is under way."""
        return bool(self._work)

    def is_busy_with(self, name: str) -> bool:
        """True while the model is downloaded or removed; LIST: while the backend is asked for the list."""
        return name in self._work

    def download_of(self, name: str) -> Job | None:
        """The download of a model that is under way."""
        work = self._work.get(name)
        return work.download.job if work is not None and work.download is not None else None

    def find(self, name: str) -> Model | None:
        """The model of that name."""
        return next((model for model in self.models if model.name == name), None)

    def look(self) -> None:
        """Without a backend: see what is on the disk, unless the backend in use has said what there is."""
        remote = self._connection().configuration.remote_url
        if self._told_by != remote:
            self._told_by = None
            self._take(KNOWN if remote else look(models_folder()))

    def refresh(self) -> None:
        """Start asking the backend, if one runs; it is not started for that. Once at a time."""
        if LIST not in self._work:
            self._start(LIST, self._refresh_steps())

    def download(self, name: str, half: bool = False) -> None:
        """Start the download of a model, or join the one that is under way.

        Args:
            half: have 16-bit weights stored, half the size on the disk.

        Raises:
            MVDreamError: Blender is set to stay offline, or something is done to the model already.
        """
        self._refuse_second(name)
        if not self._connection().configuration.online:
            raise StaysOffline(f"The model {name} comes from the internet")
        follower = self._follower(name, {"name": name, "half": half})
        self._start(name, self._download_steps(follower), follower)

    def remove(self, name: str) -> None:
        """Start removing a model, or what there is of its download.

        Raises:
            MVDreamError: something is done to the model already.
        """
        self._refuse_second(name)
        self._start(name, self._remove_steps(name))

    def cancel(self, name: str) -> None:
        """Stop the download of a model; what has come stays for the next one. No download: nothing."""
        work = self._work.get(name)
        if work is None or work.download is None:
            return
        if work.download.submitted:
            work.download.job.cancel_asked = True
        else:
            work.download.job.phase = Phase.CANCELLED
            work.task.close()
            del self._work[name]
        self._changed()

    def tick(self) -> bool:
        """Go on without blocking; True while there is more to do. What goes wrong ends up in `errors`."""
        for name, work in list(self._work.items()):
            if self._work.get(name) is work and self._is_over(name, work.task):
                del self._work[name]
                self._changed()
                if name != LIST:
                    self.refresh()
        return self.busy

    def close(self) -> None:
        """Leave everything as it is: the backend goes on with its downloads."""
        for work in self._work.values():
            work.task.close()
        self._work.clear()
        self._notes.close()

    def update(self, client: Client) -> Steps[None]:
        """Have the backend say what there is, and join its downloads. What fails is logged: it can wait."""
        configuration = self._connection().configuration
        try:
            models = yield from client.models()
            running = unfinished((yield from client.jobs()))
            self._forget_ended({str(answer["id"]) for answer in running.values()})
            if not configuration.online and not configuration.remote_url:
                yield from self._stop_unwanted(client, running)
                running = {}
        except MVDreamError as error:
            log.info("The backend does not say which models it has: %s", error)
            return
        self._told_by = configuration.remote_url
        self._take(models)
        for name, answer in running.items():
            if name not in self._work:
                follower = self._follower(name, dict(answer["settings"]))
                self._start(name, follower.join(client, answer), follower)

    # Inside

    @property
    def _notes(self) -> PendingJobs:
        """Which Blender follows which download."""
        return PendingJobs(self._connection().configuration.user_folder / "downloads")

    def _forget_ended(self, unfinished: set[str]) -> None:
        remote = self._connection().configuration.remote_url
        for note in self._notes.orphans():
            if note.backend == remote and job_of(note.id) not in unfinished:
                self._notes.remove(note.id)

    def _stop_unwanted(self, client: Client, running: dict[str, dict[str, Any]]) -> Steps[None]:
        """Offline: a Blender that is gone was allowed to begin them, and the backend goes on by itself.

        Those that another living Blender follows are its own affair.
        """
        followed = {job_of(note.id) for note in self._notes.of_others()}
        for name, answer in running.items():
            work = self._work.get(name)
            if work is not None and work.download is not None:
                work.download.job.cancel_asked = True
            elif answer["id"] not in followed:
                yield from client.cancel(answer["id"])

    def _is_over(self, name: str, task: Task[None]) -> bool:
        try:
            return task.tick()
        except Cancelled:
            return True
        except MVDreamError as error:
            self.errors[name] = error
        except Exception as error:
            log.exception("MVDream stumbled over its own mistake")
            reason = f"A mistake in MVDream itself: {type(error).__name__}: {error}"
            self.errors[name] = MVDreamError(reason)
        return True

    def _refuse_second(self, name: str) -> None:
        if name in self._work:
            doing = "downloaded" if self._work[name].download else "removed"
            raise MVDreamError(f"The model {name} is being {doing} already.")

    def _start(self, name: str, steps: Steps[None], download: Downloading | None = None) -> None:
        self.errors.pop(name, None)
        self._work[name] = _Work(Task(steps), download)
        self._changed()

    def _take(self, models: tuple[Model, ...]) -> None:
        if models != self.models:
            self.models = models
            self._changed()

    def _follower(self, name: str, settings: dict[str, Any]) -> Downloading:
        return Downloading(job=Job(name, settings), **self._surroundings() | {"pending": self._notes})

    def _refresh_steps(self) -> Steps[None]:
        client = yield from self._connection().find()
        if client is not None:
            yield from self.update(client)
        else:
            self._told_by = None
            self.look()

    def _download_steps(self, follower: Downloading) -> Steps[None]:
        client = yield from self._connection().open()
        yield from follower.submit(client)

    def _remove_steps(self, name: str) -> Steps[None]:
        client = yield from self._connection().open()
        yield from client.remove_model(name)
