# SPDX-License-Identifier: GPL-3.0-or-later
"""The extension's session in a test, what it and the backend hold, and how to drive it without a window."""

from extension_parts import part


def session():
    return part("runtime").session()


def left_with_the_backend():
    """Jobs that the backend keeps, and those it has still to delete."""
    folder = session().backend.data
    return [file.name for file in folder.glob("job*.json")] + session()._pending.discarded()


def session_folder():
    return part("runtime")._user_folder() / "pending"


def runtime_steps(condition):
    """Drive the session until something holds."""
    time = part("runtime").time
    limit = time.monotonic() + 60
    while not condition():
        assert session().tick(), session().error
        assert time.monotonic() < limit
        time.sleep(0.01)
