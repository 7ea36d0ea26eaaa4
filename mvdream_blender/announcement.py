# SPDX-License-Identifier: GPL-3.0-or-later
"""The file in which a running backend says where it is. Never imports bpy."""

import json
from dataclasses import dataclass
from pathlib import Path

from .locks import is_held
from .processes import is_alive

LOCK = "service.lock"  # held by the backend that works in the folder, for as long as it lives


@dataclass(frozen=True)
class Announcement:
    """What a running backend says about itself in service.json."""

    url: str
    pid: int
    token: str
    version: str

    @classmethod
    def read(cls, folder: Path) -> "Announcement | None":
        """The announcement in `folder`; None where there is none that makes sense."""
        try:
            values = json.loads((folder / "service.json").read_text(encoding="utf-8"))
            return cls(str(values["url"]), int(values["pid"]), str(values["token"]), str(values["version"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def is_living(self, folder: Path) -> bool:
        """True while the backend that announced itself is at work in `folder`.

        Its process's number alone says nothing: it is another process's some time after the end.
        """
        return is_alive(self.pid) and Announcement.read(folder) == self and is_occupied(folder)


def is_occupied(folder: Path) -> bool:
    """True while a backend works in `folder`, whichever."""
    try:
        return is_held(folder / LOCK)
    except OSError:
        return False
