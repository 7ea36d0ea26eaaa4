# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder made anew: what was there comes back unless the new one becomes complete. Never imports bpy."""

import logging
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from .errors import MVDreamError
from .tasks import Delay, Steps

log = logging.getLogger(__name__)

CLEAR_SECONDS = 5.0


class Replacement:
    """Moves folders beside each other, which takes no time. What is to be deleted is named FOLDER.old-*."""

    def __init__(self, folder: Path, is_complete: Callable[[Path], bool]) -> None:
        """
        Args:
            is_complete: whether what is at a place would be good at `folder`.
        """
        self._folder = folder
        self._kept = folder.with_name(f"{folder.name}.kept")
        self._is_complete = is_complete

    @property
    def is_left(self) -> bool:
        """True where something is set aside."""
        return self._kept.is_dir()

    @property
    def old(self) -> list[Path]:
        """What nobody wants any more."""
        return sorted(self._folder.parent.glob(f"{self._folder.name}.old-*"))

    def set_aside(self) -> Steps[None]:
        """Move what is there out of the way; what is complete to where it is kept.

        Raises:
            MVDreamError: something uses it.
        """
        deadline = time.monotonic() + CLEAR_SECONDS
        while self._folder.exists():
            try:
                if self._is_complete(self._folder):
                    self._discard_kept()
                    self._folder.rename(self._kept)
                else:
                    self._folder.rename(self._unwanted())
            except OSError as error:
                # On Windows for as long as a process that is just ending holds a file.
                if time.monotonic() > deadline:
                    raise MVDreamError(
                        f"The environment at {self._folder} can't be replaced: {error.strerror or error}. "
                        "End what uses it, such as another Blender, then install again.",
                        fix="install",
                    ) from None
                yield Delay(0.25)

    def bring_back(self) -> None:
        """Undo `set_aside` where nothing complete has come, and what was set aside was complete."""
        if self._is_complete(self._folder) or not self._is_complete(self._kept):
            return
        try:
            if self._folder.exists():
                self._folder.rename(self._unwanted())
            self._kept.rename(self._folder)
        except OSError as error:
            log.warning("%s can't be brought back now: %s", self._folder, error)

    def settle(self) -> None:
        """The new one is complete: nobody wants the other any more."""
        try:
            self._discard_kept()
        except OSError as error:
            log.info("%s goes with the next installation: %s", self._kept, error)

    def _discard_kept(self) -> None:
        if self._kept.exists():
            self._kept.rename(self._unwanted())

    def _unwanted(self) -> Path:
        return self._folder.with_name(f"{self._folder.name}.old-{secrets.token_hex(4)}")
