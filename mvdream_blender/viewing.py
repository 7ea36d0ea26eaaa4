# SPDX-License-Identifier: GPL-3.0-or-later
"""The story of one preview of views: submit, follow, fetch the pictures. Never imports bpy."""

import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path

from .client import Client
from .errors import Cancelled, MVDreamError
from .following import Follower, write
from .job import Phase
from .pending import PendingJob, Place
from .tasks import Steps

log = logging.getLogger(__name__)

PICTURE = "views.png"
# One view, by its azimuth. Names come from the network and become files here: nothing else will do.
_VIEW = re.compile(r"view-[0-9-]{1,40}\.png")
KEPT_FILES = 100


@dataclass(frozen=True)
class Views:
    """A finished preview.

    Attributes:
        picture: all views side by side, from the front and then counter-clockwise seen from above.
        parts: one picture for each view, in that order.
    """

    prompt: str
    seed: int
    picture: Path
    parts: tuple[Path, ...]


class Viewing(Follower):
    """Views on their way. Unlike a mesh nobody waits for them after a crash, so they are never unfinished."""

    def submit(self, client: Client) -> Steps[Views]:
        """Send the job and see it through."""
        self.submitted = True
        try:
            return (yield from self._see_through(client))
        finally:
            if self.job.id and not self.job.phase.ended:
                self._abandon()

    def _see_through(self, client: Client) -> Steps[Views]:
        self.job.apply((yield from client.submit(self.job.settings, "views")))
        self.changed()
        yield from self.watch(client)
        if self.job.phase is Phase.CANCELLED or self.job.cancel_asked:
            self.job.phase = Phase.CANCELLED
            yield from self.tidy(client)
            raise Cancelled("Cancelled.")
        if self.job.phase is Phase.FAILED:
            yield from self.tidy(client)
            raise MVDreamError(self.job.error or "The backend could not make the views and did not say why.")
        views = yield from self._fetch(client)
        self.job.phase = Phase.DONE
        self.job.fraction = 1.0
        self.changed()
        yield from self.tidy(client)
        return views

    def _fetch(self, client: Client) -> Steps[Views]:
        names = sorted(name for name in self.job.files if _VIEW.fullmatch(name))
        if PICTURE not in self.job.files or not names:
            raise MVDreamError("The backend says that it is done but has no pictures. Try again.")
        kept = []
        for name in (PICTURE, *names):
            data = yield from client.file(self.job.id, name)
            # A name of its own for each job: Blender keeps what it has read under a name.
            kept.append(write(self.folder / "views", f"{self.job.id}-{name}", data, KEPT_FILES))
        seed = int(self.job.settings.get("seed", 0))
        return Views(self.job.prompt, seed, kept[0], tuple(kept[1:]))

    def _abandon(self) -> None:
        """Nobody is here to delete the job: the next connection does, and it never goes on."""
        try:
            self.pending.discard(PendingJob(self.job.id, self.job.prompt, Place(), os.getpid(), self.remote))
        except OSError as error:
            log.warning("Job %s can't be noted for deletion: %s", self.job.id, error)
