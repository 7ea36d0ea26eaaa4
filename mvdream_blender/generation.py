# SPDX-License-Identifier: GPL-3.0-or-later
"""The story of one generation: submit, follow, fetch the mesh, put it in the scene. Never imports bpy."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from .client import Client
from .errors import Cancelled, MVDreamError, Refused, Unreachable
from .following import Follower, write
from .job import Job, Phase
from .pending import PendingJob, Place
from .tasks import Steps

log = logging.getLogger(__name__)

KEPT_RESULTS = 20
MESH = "mesh.glb"

Deliver = Callable[[Path, Job, Place], Steps[str]]


@dataclass(kw_only=True)
class Generation(Follower):
    """A mesh on its way into the scene.

    Attributes:
        place: where it will stand.
        deliver: puts the mesh into the scene and returns the object's name.
    """

    place: Place
    deliver: Deliver

    def submit(self, client: Client) -> Steps[str]:
        """Send the job and see it through; returns the name of the object."""
        self.submitted = True
        self.job.apply((yield from client.submit(self.job.settings)))
        self._remember()
        self.changed()
        return (yield from self._follow(client))

    def pick_up(self, client: Client) -> Steps[str]:
        """Go on with a job that the backend knows: follow it, restart it, or fetch what it has made."""
        self.submitted = True
        try:
            answer = yield from client.job(self.job.id)
            if answer["status"] in ("failed", "cancelled"):
                answer = yield from client.resume(self.job.id)
        except Refused as error:
            if error.status != 404:
                raise
            self.pending.remove(self.job.id)
            raise MVDreamError(
                f'The backend no longer has the job "{self.job.prompt}": generate it again.'
            ) from None
        self.job.apply(answer)
        self._remember()
        self.changed()
        return (yield from self._follow(client))

    def _follow(self, client: Client) -> Steps[str]:
        yield from self.watch(client)
        if self.job.phase is Phase.CANCELLED or self.job.cancel_asked:
            yield from self._give_up(client)
        if self.job.phase is Phase.FAILED:
            if not self.job.resumable:
                yield from self._discard(client)
            raise MVDreamError(self.job.error or "The backend could not make the object and did not say why.")
        mesh = yield from self._fetch_mesh(client)
        self.job.message = ""
        self.changed()
        try:
            name = yield from self.deliver(mesh, self.job, self.place)
        except Cancelled:
            yield from self._give_up(client)
        self.pending.remove(self.job.id)
        self.job.phase = Phase.DONE
        self.job.fraction = 1.0
        self.changed()
        yield from self.tidy(client)
        return name

    def _remember(self) -> None:
        try:
            self.pending.add(self.job.id, self.job.prompt, self.place, self.remote)
        except OSError as error:
            # The object still comes, as long as this Blender lives.
            log.warning("Job %s can't be noted: %s", self.job.id, error)

    def _give_up(self, client: Client) -> Steps[NoReturn]:
        self.job.phase = Phase.CANCELLED
        yield from self._discard(client)
        raise Cancelled("Cancelled.")

    def _discard(self, client: Client) -> Steps[None]:
        """Nobody can use the job any more: nothing of it stays, here or with the backend."""
        note = PendingJob(self.job.id, self.job.prompt, self.place, os.getpid(), self.remote)
        try:
            self.pending.discard(note)
        except OSError as error:
            log.warning("Job %s can't be noted for deletion: %s", self.job.id, error)
            self.pending.remove(self.job.id)
        try:
            yield from client.delete(self.job.id)
        except (Unreachable, Refused) as error:
            log.info("Job %s is deleted at the next connection: %s", self.job.id, error)
        else:
            self.pending.settle(self.job.id)

    def _fetch_mesh(self, client: Client) -> Steps[Path]:
        if MESH not in self.job.files:
            raise MVDreamError("The backend says that it is done but has no mesh. Try again.")
        data = yield from client.file(self.job.id, MESH)
        file = result_file(self.folder, self.job.id)
        return write(file.parent, file.name, data, keep=KEPT_RESULTS)


def result_file(folder: Path, identifier: str) -> Path:
    """Where the mesh of a job is kept; the newest 20 are."""
    return folder / "results" / f"{identifier}.glb"
