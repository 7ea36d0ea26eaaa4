# SPDX-License-Identifier: GPL-3.0-or-later
"""The story of one download of a model: submit or join, follow. Never imports bpy."""

from typing import Any

from .client import Client
from .downloads import KIND, unfinished
from .errors import Cancelled, MVDreamError
from .following import Follower
from .job import Phase
from .tasks import Steps


class Downloading(Follower):
    """A model on its way. It comes on when this Blender goes; another one joins in.

    What was downloaded stays with the backend, whatever becomes of the job: the next one goes on from there.
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
            MVDreamError: it failed, with the backend's sentence; Cancelled where somebody stopped it.
        """
        self.submitted = True
        self.job.apply(answer)
        self.changed()
        yield from self.watch(client)
        if self.job.phase is Phase.FAILED:
            yield from self.tidy(client)
            raise MVDreamError(
                self.job.error or "The backend could not download the model and did not say why."
            )
        cancelled = self.job.phase is Phase.CANCELLED
        self.job.phase = Phase.CANCELLED if cancelled else Phase.DONE
        self.changed()
        yield from self.tidy(client)
        if cancelled:
            raise Cancelled("Cancelled.")
