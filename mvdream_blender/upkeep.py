# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user has done to the backend itself: install, restart, stop. Never imports bpy."""

from .environment import InstallProgress
from .errors import MVDreamError, StaysOffline
from .session import Session
from .tasks import Steps


def restart(session: Session) -> None:
    """End the backend, start it anew, and go on with the job that this Blender lost with it.

    Raises:
        MVDreamError: something is under way already.
    """
    session.refuse_second()
    lost = session.job.id if session.job and session.error and session.error.fix == "restart" else None
    pending = next((pending for pending in session.unfinished if pending.id == lost), None)
    if pending is not None:
        session.pick_up(pending, restart=True)
    else:
        session.start("connect", session.connection.open(restart=True))


def stop(session: Session) -> None:
    """End the backend, also one that an earlier Blender left.

    Raises:
        MVDreamError: something is under way already.
    """
    session.refuse_second()
    session.start("stop", session.connection.end_backend())


def install(session: Session) -> None:
    """Start making the backend's environment.

    Raises:
        MVDreamError: something is under way already, or Blender is set to stay offline.
    """
    session.refuse_second()
    if not session.configuration.online:
        raise StaysOffline("The backend's packages come from the internet")
    if session.configuration.installed and not session.installed:
        session.refresh()
        raise MVDreamError("Another Blender has installed the backend meanwhile: go ahead.")
    session.installing = InstallProgress()
    session.start("install", _install_steps(session))


def _install_steps(session: Session) -> Steps[None]:
    def report(progress: InstallProgress) -> None:
        session.installing = progress
        session.changed()

    # A running one holds its files open, and Windows does not replace open files.
    yield from session.connection.end_backend()
    yield from session.configuration.environment.install(report)
