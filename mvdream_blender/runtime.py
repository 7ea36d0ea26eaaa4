# SPDX-License-Identifier: GPL-3.0-or-later
"""The session of this Blender and what drives it: a timer in a window, a loop without one."""

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import bpy

from . import importer, pictures
from .configuration import PYTHON_VARIABLE, Configuration, source_folder
from .errors import Cancelled, MVDreamError
from .job import Job, Phase
from .library import LIST
from .pending import Place
from .preferences import ADDON, preferences
from .session import Session
from .tasks import Steps

log = logging.getLogger(__name__)

TICK_SECONDS = 0.1
PAUSE_SECONDS = 0.02
CANCEL_SECONDS = 5.0  # as long a call waits for the backend to take notice

_session: Session | None = None
_shown_revision = -1
_blocked = False  # a call blocks the window: nobody can do anything in it, and timers stand still


def start() -> None:
    """Called when the add-on is registered."""
    global _session
    _session = Session(_configuration(), _deliver)
    if _session.backend.left_running and not bpy.app.background:
        # Downloads that an earlier Blender began are shown again.
        _session.library.refresh()
        pump()


def stop() -> None:
    """Called when the add-on is unregistered."""
    global _session
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)
    if _session is not None:
        _session.close()
        _session = None


def session() -> Session:
    """This Blender's session with the preferences as they are now.

    Raises:
        RuntimeError: the add-on is not enabled.
    """
    if _session is None:
        raise RuntimeError("The MVDream add-on is not enabled: enable it in Preferences > Add-ons.")
    _session.configuration = _configuration()
    return _session


def peek() -> Session | None:
    """The session as it is, for drawing: nothing is looked up."""
    return _session


def place(context: bpy.types.Context) -> Place:
    """Where an object that is asked for now will stand: the 3D cursor of the scene."""
    x, y, z = context.scene.cursor.location
    return Place(context.scene.name, (x, y, z), context.scene.session_uid)


def pump() -> None:
    """Drive the session by a timer from now on; the window stays free."""
    if not bpy.app.timers.is_registered(_tick):
        bpy.app.timers.register(_tick, first_interval=0.0, persistent=True)


@contextlib.contextmanager
def _blocking() -> Iterator[None]:
    """For the length of a call that blocks. What is left then, such as a download, goes on by the timer."""
    global _blocked
    _blocked = True
    try:
        yield
    finally:
        _blocked = False
        if _has_timers() and _session is not None and (_session.busy or _session.library.busy):
            pump()


@_blocking()
def finish(timeout: float | None = None, news: Callable[[], object] = lambda: None) -> None:
    """Drive the session to the end of what it does, blocking. Ctrl-C cancels the job.

    Args:
        news: called when there is something new to show.

    Raises:
        MVDreamError: what went wrong; Cancelled where the user stopped it.
        TimeoutError: it took longer than `timeout` seconds; it is cancelled.
    """
    current = session()
    making = current.making
    limit = None if timeout is None else time.monotonic() + timeout
    seen = -1
    try:
        while _advance(current):
            if current.revision != seen:
                seen = current.revision
                news()
            if limit is not None and time.monotonic() > limit:
                raise TimeoutError(f"MVDream was not done after {timeout:g} seconds.")
            time.sleep(PAUSE_SECONDS)
    except BaseException:
        _cancel_and_wait(current)
        raise
    if current.error is not None:
        raise current.error
    news()
    if making and current.job is not None and current.job.cancel_asked:
        raise Cancelled("Cancelled.")


@_blocking()
def finish_model(name: str, news: Callable[[], object] = lambda: None) -> None:
    """Drive what is done to a model to its end, blocking. Ctrl-C cancels a download.

    Args:
        name: the model's name; LIST for the list of all.
        news: called when there is something new to show.

    Raises:
        MVDreamError: what went wrong; Cancelled where the download was stopped.
    """
    library = session().library
    download = library.download_of(name)
    try:
        while library.is_busy_with(name) or library.is_busy_with(LIST):
            _advance(session())
            news()
            time.sleep(PAUSE_SECONDS)
    except BaseException:
        library.cancel(name)
        limit = time.monotonic() + CANCEL_SECONDS
        while library.is_busy_with(name) and time.monotonic() < limit:
            _advance(session())
            time.sleep(PAUSE_SECONDS)
        raise
    if name in library.errors:
        raise library.errors[name]
    if download is not None and download.phase is Phase.CANCELLED:
        raise Cancelled("The download was cancelled. What has come is kept for the next one.")


def _cancel_and_wait(current: Session) -> None:
    """Tell the backend, for a few seconds at most: nobody waits for the job any more."""
    current.cancel()
    limit = time.monotonic() + CANCEL_SECONDS
    while _advance(current) and time.monotonic() < limit:
        time.sleep(PAUSE_SECONDS)


def _advance(current: Session) -> bool:
    """One look at all that is under way; True while the session's own work is not done.

    Each may wait for the other: what starts the backend keeps all others from it until it is there.
    """
    more = current.tick()
    current.library.tick()
    return more


def _has_timers() -> bool:
    return not bpy.app.background


def _deliver(mesh: Path, job: Job, place: Place) -> Steps[str]:
    return importer.deliver(mesh, job, place, lambda: _blocked)


def _tick() -> float | None:
    global _shown_revision
    if _session is None:
        return None
    # Both, whatever the first says.
    more = any([_session.tick(), _session.library.tick()])
    if _session.revision != _shown_revision:
        _shown_revision = _session.revision
        try:
            pictures.show(_session.preview, *(_session.views.parts if _session.views else ()))
            _redraw()
        except Exception:
            # Blender drops a timer that raises, and the job would stand still for a picture.
            log.exception("The panel could not be brought up to date")
    return TICK_SECONDS if more else None


def _redraw() -> None:
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "PREFERENCES":
                area.tag_redraw()
            if area.type == "VIEW_3D":
                for region in area.regions:
                    if region.type == "UI":
                        region.tag_redraw()


def _configuration() -> Configuration:
    chosen = preferences()
    python = os.environ.get(PYTHON_VARIABLE, "") or (chosen.backend_python if chosen else "")
    return Configuration(
        user_folder=_user_folder(),
        python=bpy.path.abspath(python) if python else "",
        remote_url=chosen.remote_url.strip() if chosen else "",
        remote_token=chosen.remote_token.strip() if chosen else "",
        compute=chosen.compute if chosen else "auto",
        online=bpy.app.online_access,
        source=source_folder(),
    )


def _user_folder() -> Path:
    try:
        return Path(bpy.utils.extension_path_user(ADDON, path="", create=True))
    except ValueError:
        # Not installed as an extension: a checkout on the script path.
        return Path(bpy.utils.user_resource("DATAFILES", path=ADDON, create=True))
    except OSError as error:
        raise MVDreamError(f"The extension's folder can't be made: {error}.") from None
