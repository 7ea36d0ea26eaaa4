# SPDX-License-Identifier: GPL-3.0-or-later
"""The story of one generation: submit, follow, fetch the mesh, put it in the scene. Never imports bpy."""

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from .backend_process import BackendProcess
from .client import Client
from .errors import Cancelled, MVDreamError, Refused, Unreachable
from .job import Job, Phase
from .pending import PendingJobs, Place
from .tasks import Delay, Steps

log = logging.getLogger(__name__)

POLL_SECONDS = 0.25
ATTEMPTS = 5
KEPT_RESULTS = 20
MESH = "mesh.glb"
PREVIEW = "preview.png"

Deliver = Callable[[Path, Job, Place], Steps[str]]


@dataclass
class Generation:
    """One job on its way through a backend.

    Attributes:
        job: its state; kept up to date.
        backend: the local process that answers; None for a remote one.
        deliver: puts the mesh into the scene and returns the object's name.
        changed: called when there is something new to show.
        preview: the newest picture, a file.
        submitted: from here on the backend may know the job.
        remote: address of the remote backend; "" for the local one.
    """

    job: Job
    place: Place
    folder: Path
    pending: PendingJobs
    deliver: Deliver
    changed: Callable[[], None]
    backend: BackendProcess | None = None
    preview: Path | None = None
    submitted: bool = False
    remote: str = ""
    _preview_step: tuple[str, int] = ("", -1)
    _cancel_sent: bool = False

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
        while self.job.phase in (Phase.QUEUED, Phase.RUNNING):
            if self.job.cancel_asked and not self._cancel_sent:
                yield from self._send_cancel(client)
            yield Delay(POLL_SECONDS)
            if self.job.apply((yield from self._ask(client))):
                self.changed()
            yield from self._fetch_preview(client)
        if self.job.phase is Phase.CANCELLED or self.job.cancel_asked:
            self._give_up()
        if self.job.phase is Phase.FAILED:
            if not self.job.resumable:
                self.pending.remove(self.job.id)
            raise MVDreamError(self.job.error or "The backend could not make the object and did not say why.")
        mesh = yield from self._fetch_mesh(client)
        self.job.message = ""
        self.changed()
        try:
            name = yield from self.deliver(mesh, self.job, self.place)
        except Cancelled:
            self._give_up()
        self.pending.remove(self.job.id)
        self.job.phase = Phase.DONE
        self.job.fraction = 1.0
        self.changed()
        yield from self._tidy(client)
        return name

    def _remember(self) -> None:
        try:
            self.pending.add(self.job.id, self.job.prompt, self.place, self.remote)
        except OSError as error:
            # The object still comes, as long as this Blender lives.
            log.warning("Job %s can't be noted: %s", self.job.id, error)

    def _tidy(self, client: Client) -> Steps[None]:
        """The mesh is here; what the backend keeps of the job is of no more use."""
        try:
            yield from client.delete(self.job.id)
        except (Unreachable, Refused) as error:
            log.info("The backend keeps job %s: %s", self.job.id, error)

    def _give_up(self) -> NoReturn:
        self.pending.remove(self.job.id)
        self.job.phase = Phase.CANCELLED
        raise Cancelled("Cancelled.")

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
        self.preview = _write(self.folder / "previews" / f"{self.job.id}-{now[0]}-{now[1]}.png", data, keep=3)
        self.changed()

    def _fetch_mesh(self, client: Client) -> Steps[Path]:
        if MESH not in self.job.files:
            raise MVDreamError("The backend says that it is done but has no mesh. Try again.")
        data = yield from client.file(self.job.id, MESH)
        return _write(result_file(self.folder, self.job.id), data, keep=KEPT_RESULTS)


def result_file(folder: Path, identifier: str) -> Path:
    """Where the mesh of a job is kept; the newest 20 are."""
    return folder / "results" / f"{identifier}.glb"


def _write(file: Path, data: bytes, keep: int) -> Path:
    """Write beside, rename, and remove all but the newest `keep` of the folder's files of this kind."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
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
