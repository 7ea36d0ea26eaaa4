# SPDX-License-Identifier: GPL-3.0-or-later
"""Seeing a job of the backend through, whatever its kind. Never imports bpy."""

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .client import Client
from .errors import MVDreamError, Refused, Unreachable
from .job import Job, Phase
from .pending import PendingJobs
from .tasks import Delay, Steps

if TYPE_CHECKING:
    from .backend_process import BackendProcess  # which asks `downloading` what it must not interrupt

log = logging.getLogger(__name__)

POLL_SECONDS = 0.25
ATTEMPTS = 5
PREVIEW = "preview.png"


@dataclass(kw_only=True)
class Follower:
    """One job on its way through a backend.

    Attributes:
        job: its state; kept up to date.
        folder: where files may be kept.
        pending: the notes on jobs that have to outlive this Blender.
        changed: called when there is something new to show.
        backend: the local process that answers; None for a remote one.
        remote: address of the remote backend; "" for the local one.
        preview: the newest picture of what becomes, a file.
        submitted: from here on the backend may know the job.
    """

    job: Job
    folder: Path
    pending: PendingJobs
    changed: Callable[[], None]
    backend: "BackendProcess | None" = None
    remote: str = ""
    preview: Path | None = None
    submitted: bool = False
    _preview_step: tuple[str, int] = ("", -1)
    _cancel_sent: bool = False

    def watch(self, client: Client) -> Steps[None]:
        """Until the job neither waits nor works any more."""
        while self.job.phase in (Phase.QUEUED, Phase.RUNNING):
            if self.job.cancel_asked and not self._cancel_sent:
                yield from self._send_cancel(client)
            yield Delay(POLL_SECONDS)
            if self.job.apply((yield from self._ask(client))):
                self.changed()
            yield from self._fetch_preview(client)

    def tidy(self, client: Client) -> Steps[None]:
        """What was made is here; what the backend keeps of the job is of no more use."""
        try:
            yield from client.delete(self.job.id)
        except (Unreachable, Refused) as error:
            log.info("The backend keeps job %s: %s", self.job.id, error)

    def _send_cancel(self, client: Client) -> Steps[None]:
        self._cancel_sent = True
        try:
            yield from client.cancel(self.job.id)
        except Refused as error:
            # It became ready while the user reached for the button.
            log.info("Not cancelled: %s", error)

    def _ask(self, client: Client) -> Steps[dict[str, Any]]:
        """The job's state; a hiccup of the connection is forgiven, the death of our process is not."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return (yield from client.job(self.job.id))
            except Unreachable as error:
                log.info("Attempt %d: %s", attempt, error)
                yield Delay(0.5)
                if self.backend is not None and not self.backend.running:
                    raise self.backend.death("while it was working") from None
                if attempt == ATTEMPTS:
                    raise Unreachable(str(error), fix="restart") from None
        raise AssertionError("unreachable")

    def _fetch_preview(self, client: Client) -> Steps[None]:
        now = (self.job.stage, self.job.step)
        if PREVIEW not in self.job.files or now == self._preview_step:
            return
        try:
            data = yield from client.file(self.job.id, PREVIEW)
        except (Unreachable, Refused) as error:
            log.info("No preview: %s", error)
            return
        self._preview_step = now
        if self.preview is not None and self.preview.exists() and self.preview.read_bytes() == data:
            return
        # A name of its own for each: Blender keeps what it has read under a name.
        self.preview = write(self.folder / "previews", f"{self.job.id}-{now[0]}-{now[1]}.png", data, keep=3)
        self.changed()


def write(folder: Path, name: str, data: bytes, keep: int) -> Path:
    """Write beside, rename, and remove all but the newest `keep` of the folder's files of this kind.

    Args:
        name: of the file, directly in `folder`. Parts of it come from the network.

    Raises:
        MVDreamError: the folder can't be written, or the name leads out of it.
    """
    file = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if file.resolve().parent != folder.resolve():
            raise MVDreamError(f"The backend gave a file the name {name[:60]!r}, which leads elsewhere.")
        beside = file.with_suffix(".new")
        beside.write_bytes(data)
        beside.replace(file)
    except OSError as error:
        raise MVDreamError(f"{file.parent} can't be written: {error.strerror or error}.") from None
    # Another Blender may tidy up here at the same time, or have a file open.
    with contextlib.suppress(OSError):
        others = sorted(file.parent.glob(f"*{file.suffix}"), key=lambda path: path.stat().st_mtime)
        for old in others[:-keep]:
            old.unlink(missing_ok=True)
    return file
