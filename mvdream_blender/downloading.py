# SPDX-License-Identifier: GPL-3.0-or-later
"""The story of one download of a model: submit or join, follow. Never imports bpy."""

import logging
import os
from collections.abc import Sequence
from typing import Any

from .client import Client
from .errors import Cancelled, MVDreamError, Refused
from .following import Follower
from .job import Phase
from .pending import Place
from .tasks import Steps

log = logging.getLogger(__name__)

KIND = "download"
ELSEWHERE = "The download was stopped elsewhere; Download goes on from there."


def unfinished(jobs: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The downloads that wait or work among a backend's jobs, by the names of their models."""
    return {
        str(job["settings"].get("name")): job
        for job in jobs
        if job.get("kind") == KIND and job.get("status") in ("queued", "running")
    }


def job_of(note: str) -> str:
    """The id of the job that a note is about."""
    return note.rpartition("-")[0]


def _note(job: str) -> str:
    """Several Blenders may follow one download, and a note has one owner."""
    return f"{job}-{os.getpid()}"


class Downloading(Follower):
    """A model on its way. It comes on when this Blender goes; another one joins in.

    What was downloaded stays with the backend, whatever becomes of the job: the next one goes on from there.
    Several Blenders may follow one job, and the first to see its end deletes it. Each notes in `pending` that
    it does: while one of them lives, no Blender that must stay offline stops the job.
    """

    def submit(self, client: Client) -> Steps[None]:
        """See it through: the one that is under way already, else a new one."""
        self.submitted = True
        name = str(self.job.settings["name"])
        answer = unfinished((yield from client.jobs())).get(name)
        if answer is None:
            answer = yield from client.submit(self.job.settings, KIND)
        yield from self.join(client, answer)

    def join(self, client: Client, answer: dict[str, Any]) -> Steps[None]:
        """See through a job that the backend has.

        Raises:
            MVDreamError: it failed, with the backend's sentence, or was stopped by another Blender; Cancelled
                where this one stopped it.
        """
        self.submitted = True
        self.job.apply(answer)
        self._remember()
        self.changed()
        try:
            yield from self.watch(client)
        except Refused as error:
            if error.status != 404:
                raise
            yield from self._look_for_the_model(client)
        self.pending.remove(_note(self.job.id))
        if self.job.phase is Phase.FAILED:
            yield from self.tidy(client)
            raise MVDreamError(
                self.job.error or "The backend could not download the model and did not say why."
            )
        cancelled = self.job.phase is Phase.CANCELLED
        self.job.phase = Phase.CANCELLED if cancelled else Phase.DONE
        self.changed()
        yield from self.tidy(client)
        if cancelled and self.job.cancel_asked:
            raise Cancelled("Cancelled.")
        if cancelled:
            raise MVDreamError(ELSEWHERE)

    def _look_for_the_model(self, client: Client) -> Steps[None]:
        """Another Blender saw the end and deleted the job: the list of models tells how it ended."""
        models = yield from client.models()
        there = any(model.installed for model in models if model.name == self.job.settings["name"])
        self.job.phase = Phase.DONE if there else Phase.CANCELLED

    def _remember(self) -> None:
        try:
            self.pending.add(_note(self.job.id), self.job.prompt, Place(), self.remote)
        except OSError as error:
            log.warning("The download %s can't be noted: %s", self.job.id, error)
