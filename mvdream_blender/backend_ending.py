# SPDX-License-Identifier: GPL-3.0-or-later
"""How a backend is ended: asked first, never while another Blender's job is under way. Never imports bpy."""

import logging
import time
from collections.abc import Sequence

from .announcement import Announcement
from .client import Client
from .downloads import unfinished
from .errors import MVDreamError, Refused, Unreachable
from .pending import PendingJob
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


def refuse_to_interrupt(client: Client, of_others: Sequence[PendingJob]) -> Steps[None]:
    """
    Raises:
        MVDreamError: a job that another Blender follows is under way, or anyone's download of a model.
    """
    if names := unfinished((yield from client.jobs())):
        raise MVDreamError(
            f"The model {', '.join(names)} is being downloaded by this backend. "
            "Wait until that is done, or cancel it in the add-on's preferences; then try again."
        )
    for pending in of_others:
        try:
            status = (yield from client.job(pending.id)).get("status")
        except Refused:
            continue
        if status in ("queued", "running"):
            raise MVDreamError(
                f'Another Blender is making "{pending.prompt}" with this backend. '
                "Wait until that is done, or cancel it there; then try again."
            )


def shut_down(client: Client, pid: int) -> Steps[None]:
    """Have the backend tidy up and end, as Windows has no signal for it, and wait until it has."""
    try:
        yield from client.shutdown()
    except (Unreachable, Refused) as error:
        log.info("No answer to the request to end: %s", error)
    if not (yield from _gone(pid, END_SECONDS)):
        yield from terminate_and_wait(pid)


def terminate_and_wait(pid: int) -> Steps[None]:
    """End a process that was known to be the backend, and wait until it has ended."""
    if is_alive(pid):
        terminate(pid)
    if not (yield from _gone(pid, END_SECONDS)):
        raise MVDreamError(f"The backend does not end: end its process {pid} by hand, then try again.")


def _gone(pid: int, seconds: float) -> Steps[bool]:
    deadline = time.monotonic() + seconds
    while is_alive(pid):
        if time.monotonic() > deadline:
            return False
        yield Delay(0.05)
    return True
