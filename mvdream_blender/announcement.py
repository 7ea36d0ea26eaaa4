# SPDX-License-Identifier: GPL-3.0-or-later
"""The file in which a running backend says where it is. Never imports bpy."""

import json
from dataclasses import dataclass
from pathlib import Path


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
