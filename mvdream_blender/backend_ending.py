# SPDX-License-Identifier: GPL-3.0-or-later
"""How a backend is ended: asked first, never while another Blender's job is under way. Never imports bpy."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .announcement import Announcement, is_occupied
from .client import Client
from .downloading import unfinished
from .errors import MVDreamError, Refused, Unreachable
from .processes import is_alive, terminate
from .tasks import Delay, Steps

log = logging.getLogger(__name__)

END_SECONDS = 10.0
PROBE_SECONDS = 5.0


def answering(announced: Announcement | None) -> Steps[Client | None]:
    """The client of an announced backend; None where it does not answer, or only to another token."""
    if announced is None:
        return None
    try:
        client = Client(announced.url, announced.token, timeout=PROBE_SECONDS)
        yield from client.health()
    except MVDreamError as error:
        log.info("No backend answers: %s", error)
        return None
    return client


def refuse_to_interrupt(client: Client, may_interrupt: Callable[[str], bool]) -> Steps[None]:
    """
    Args:
        may_interrupt: whether nobody but this Blender waits for the job of that id.

    Raises:
        MVDreamError: another job waits or works there, or anyone's download of a model.
    """
    jobs = yield from client.jobs()
    if names := unfinished(jobs):
        raise MVDreamError(
            f"The model {', '.join(names)} is being downloaded by this backend. "
            "Wait until that is done, or cancel it in the add-on's preferences; then try again."
        )
    for job in jobs:
        if job.get("status") in ("queued", "running") and not may_interrupt(str(job["id"])):
            raise MVDreamError(
                f'Another Blender is making "{_prompt(job)}" with this backend. '
                "Wait until that is done, or cancel it there; then try again."
            )


def shut_down(client: Client, folder: Path, announced: Announcement) -> Steps[None]:
    """Have the backend tidy up and end, as Windows has no signal for it, and wait until it has."""
    try:
        yield from client.shutdown()
    except (Unreachable, Refused) as error:
        log.info("No answer to the request to end: %s", error)
    if not (yield from _gone(folder, announced)):
        yield from terminate_and_wait(folder, announced)


def terminate_and_wait(folder: Path, announced: Announcement) -> Steps[None]:
    """End the process that works in `folder`, which the caller has just seen, and wait until it has ended."""
    terminate(announced.pid)
    if not (yield from _gone(folder, announced)):
        raise MVDreamError(
            f"The backend does not end: end its process {announced.pid} by hand, then try again."
        )


def _gone(folder: Path, announced: Announcement) -> Steps[bool]:
    deadline = time.monotonic() + END_SECONDS
    while is_alive(announced.pid):
        if time.monotonic() > deadline:
            # Where nobody works there, or somebody else, its number is another process's by now. One that is
            # tidying up has taken its announcement back already.
            other = Announcement.read(folder) not in (None, announced)
            return other or not is_occupied(folder)
        yield Delay(0.05)
    return True


def _prompt(job: dict[str, Any]) -> str:
    settings = job.get("settings")
    return str(settings.get("prompt", "")) if isinstance(settings, dict) else ""
