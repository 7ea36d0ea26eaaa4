# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong, as sentences for the panel. Never imports bpy."""

from pathlib import Path
from typing import Literal

Fix = Literal["", "install", "restart", "preferences", "online"]


class MVDreamError(Exception):
    """Something the user has to know. The message says what happened and the way out.

    `fix` names the button that the panel puts below the message; "" for none.
    """

    def __init__(self, message: str, fix: Fix = "") -> None:
        super().__init__(message)
        self.fix: Fix = fix


class StaysOffline(MVDreamError):
    """What was asked for needs the internet, and Blender's own preferences forbid it."""

    def __init__(self, what: str) -> None:
        """
        Args:
            what: the first half of a sentence: what is on the internet.
        """
        super().__init__(
            f"{what}, and Blender is set to stay offline: allow it in "
            "Preferences > System > Network > Allow Online Access, then try again.",
            fix="online",
        )


class Unreachable(MVDreamError):
    """No answer from the backend: nobody listens, the connection broke, or it took too long."""


class Refused(MVDreamError):
    """The backend answered and said no. `status` is the HTTP status, the message its `detail` sentence."""

    def __init__(self, message: str, status: int, fix: Fix = "") -> None:
        super().__init__(message, fix)
        self.status = status


class BackendDied(MVDreamError):
    """The backend's process ended while it was needed."""


class LacksPackages(MVDreamError):
    """The Python that the backend was started with does not have its packages. `tail`: the end of its log."""

    def __init__(self, python: Path, tail: str) -> None:
        self.what = f"The backend did not start: {python} lacks a package it needs."
        self.tail = tail
        super().__init__(f"{self.what} Install the backend again.\n{tail}", fix="install")


class Cancelled(MVDreamError):
    """The user stopped the job. Nothing is wrong."""
